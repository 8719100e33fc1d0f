"""What a request says of its answer's form, brought to one of the forms that grammars are compiled from."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from plugtron_samplers.grammar.gbnf import gbnf_to_lark
from plugtron_samplers.grammar.limits import TOO_DEEP, check_json, check_rules, check_text

__all__ = ["FORMS", "GrammarSource", "asks_for_form", "source_of", "sources_in"]

#: The parameters, of which a request has one.
FORMS = ("response_format", "json_schema", "regex", "choice", "grammar", "gbnf")
_TYPES = ("text", "json_object", "json_schema")
#: What OpenAI's json_schema may have beside the schema. A schema is kept to, strict or not.
_BESIDE_SCHEMA = ("name", "description", "strict")
#: An attribute of Lark rules that is about drawing, not about what may be drawn.
_TEMPERATURE = re.compile(r"^\s*\w+\s*\[[^\]]*\btemperature\s*=", re.MULTILINE)


class GrammarSource(NamedTuple):
    """A grammar as text: the parameter that it came by, for messages, what kind of text it is, and the text."""

    parameter: str
    kind: Literal["json_schema", "regex", "lark"]
    text: str


def asks_for_form(asked: Mapping[str, Any]) -> bool:
    """Whether a request's parameters ask for a grammar at all."""
    given = [name for name in FORMS if asked.get(name) is not None]
    return given != ["response_format"] or asked["response_format"].get("type") != "text" if given else False


def sources_in(asked: Mapping[str, Any]) -> list[GrammarSource]:
    """The grammars that a request's parameters ask for.

    Raises:
        ValueError: as `source_of`.
    """
    found = (source_of(name, asked[name]) for name in FORMS if asked.get(name) is not None)
    return [source for source in found if source is not None]


def source_of(parameter: str, value: Any) -> GrammarSource | None:
    """Return what a parameter asks for; None for a response_format of plain text.

    Raises:
        ValueError: it is not of its form, or larger or deeper than is accepted; says why, without the parameter's name.
    """
    if parameter == "response_format":
        schema = _schema_of(value)
        return None if schema is None else GrammarSource(parameter, "json_schema", _json(schema))
    if parameter == "json_schema":
        return GrammarSource(parameter, "json_schema", _json(value))
    if parameter == "choice":
        texts = " | ".join(json.dumps(text, ensure_ascii=False) for text in value)
        return GrammarSource(parameter, "lark", check_text(f"start: CHOICE\nCHOICE: {texts}"))
    if parameter == "regex":
        return GrammarSource(parameter, "regex", check_text(value))
    lark = check_rules(value if parameter == "grammar" else gbnf_to_lark(check_rules(value)))
    if _TEMPERATURE.search(lark):
        raise ValueError("temperature= of a rule is not done (set the request's temperature)")
    return GrammarSource(parameter, "lark", lark)


def _schema_of(form: Mapping[str, Any]) -> Any:
    """The schema that OpenAI's response_format has, or stands for."""
    kind, inner = form.get("type"), form.get("json_schema")
    if kind not in _TYPES:
        raise ValueError(f"type must be {', '.join(map(repr, _TYPES[:-1]))} or {_TYPES[-1]!r} (got {kind!r})")
    allowed = ("type", "json_schema") if kind == "json_schema" else ("type",)
    _no_others(form, allowed, f"of type {kind!r}")
    if kind == "json_object":
        return {"type": "object"}
    if kind == "text":
        return None
    if not isinstance(inner, Mapping) or not isinstance(inner.get("schema"), Mapping):
        raise ValueError("json_schema must be a mapping with a schema: {name: person, schema: {type: object}}")
    _no_others(inner, ("schema", *_BESIDE_SCHEMA), "in json_schema")
    return inner["schema"]


def _no_others(values: Mapping[str, Any], accepted: tuple[str, ...], where: str) -> None:
    others = [str(name) for name in values if name not in accepted]
    if others:
        raise ValueError(f"{where} has no {others[0]!r} (accepted: {', '.join(accepted)})")


def _json(schema: Any) -> str:
    """A schema, given as data or as text, as text that is the same for equal schemas."""
    if isinstance(schema, str):
        try:
            schema = json.loads(check_text(schema), parse_constant=_no_constant)
        except RecursionError:
            raise ValueError(TOO_DEEP) from None
        except ValueError as error:
            raise ValueError(f"is no JSON: {error}") from None
    if not isinstance(schema, Mapping):
        raise ValueError(f"a schema must be a mapping (got {type(schema).__name__})")
    check_json(schema)
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(f"is no JSON: {error}") from None
    return check_text(text)


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no number")
