"""Arguments that are written without quotes: what a tool's schema says of each decides between text and JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plugtron.parsing.json_calls import function_of
from plugtron.parsing.json_text import dump, load, object_of

__all__ = ["arguments_of"]

_TYPES: Mapping[type, str] = {
    bool: "boolean",
    int: "integer",
    float: "number",
    str: "string",
    list: "array",
    dict: "object",
    type(None): "null",
}
#: As some templates write them.
_PYTHON = {"True": "true", "False": "false", "None": "null"}


def arguments_of(tools: Sequence[Mapping[str, Any]], name: str, values: Mapping[str, str]) -> str:
    """The arguments of a call as a JSON object, from values as they are written."""
    function = next((function_of(tool) for tool in tools if function_of(tool).get("name") == name), {})
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
    known = properties if isinstance(properties, Mapping) else {}
    return object_of({key: _value(text, known.get(key)) for key, text in values.items()})


def _value(text: str, schema: object) -> str:
    """A value as JSON: a text, unless it is JSON of another type that the schema has, or the schema has none."""
    types = _types(schema)
    written = _PYTHON.get(text.strip(), text.strip())
    is_json, value = load(written)
    kind = _TYPES[type(value)]
    fits = kind in types or (kind == "integer" and "number" in types) or (kind == "number" and "integer" in types)
    if is_json and kind != "string" and (fits or not types):
        return written
    # A quoted text is one where no type says that quotes are part of it.
    return written if is_json and kind == "string" and types and "string" not in types else dump(text)


def _types(schema: object) -> set[str]:
    """The types that a schema allows; empty where it says nothing of them."""
    if not isinstance(schema, Mapping):
        return set()
    named = schema.get("type")
    types = {named} if isinstance(named, str) else set(named) if isinstance(named, list) else set()
    for key in ("anyOf", "oneOf", "allOf"):
        parts = schema.get(key)
        for part in parts if isinstance(parts, list) else ():
            types |= _types(part)
    choices = schema.get("enum")
    if not types and isinstance(choices, list):
        types = {_TYPES.get(type(choice), "object") for choice in choices}
    return {kind for kind in types if isinstance(kind, str)}
