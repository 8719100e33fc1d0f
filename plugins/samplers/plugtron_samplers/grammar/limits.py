"""How large and how deep a grammar may be: what is above is refused before anything is compiled.

The compiler descends into what is nested and into what is referred to; its stack is what these numbers are chosen for.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from plugtron_samplers.grammar.schema import check_part

__all__ = ["TOO_DEEP", "check_json", "check_rules", "check_text"]

_MOST_BYTES = 256 * 1024
_MOST_NESTING = 100
#: Mappings in a schema: how long it takes to compile grows with their square.
_MOST_MAPPINGS = 5_000
TOO_DEEP = f"is nested more than {_MOST_NESTING} levels deep"
#: Levels on the longest way that can lead through a schema, from reference to reference.
_MOST_LEVELS = 10_000
#: Rules, and what is opened inside of them.
_MOST_RULES = 4_000
_RULE = re.compile(r"^\s*[?!]?[\w.-]+\s*(?:\[[^\]\n]*\])?\s*(?:::=|:)", re.MULTILINE)


def check_text(text: str) -> str:
    """Return a text that is short enough.

    Raises:
        ValueError: it is longer than is accepted, or no Unicode.
    """
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"is no Unicode text: character {error.start} is half of a pair") from None
    if size > _MOST_BYTES:
        raise ValueError(f"has {size} bytes (accepted: up to {_MOST_BYTES})")
    return text


def check_rules(text: str) -> str:
    """Return a grammar of few enough rules.

    Raises:
        ValueError: it has more than are accepted, or is too long.
    """
    count = len(_RULE.findall(check_text(text))) + sum(text.count(bracket) for bracket in "([{")
    if count > _MOST_RULES:
        raise ValueError(f"has {count} rules and brackets (accepted: up to {_MOST_RULES})")
    return text


def check_json(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that has too many parts, or one that is not done, or is nested too deeply, also by references.

    Raises:
        ValueError: it is.
    """
    deepest, mappings, references = 0, 0, {""}
    for value, depth in _walk(schema):
        check_part(value)
        deepest = max(deepest, depth)
        mappings += isinstance(value, Mapping)
        if depth > _MOST_NESTING or mappings > _MOST_MAPPINGS:
            raise ValueError(TOO_DEEP if depth > _MOST_NESTING else f"has more than {_MOST_MAPPINGS} mappings")
        if isinstance(value, Mapping) and isinstance(value.get("$ref"), str):
            references.add(value["$ref"])
    if deepest * len(references) > _MOST_LEVELS:
        raise ValueError(
            f"has {len(references) - 1} references and {deepest} levels of nesting "
            f"(accepted: up to {_MOST_LEVELS} when multiplied)"
        )


def _walk(value: Any) -> Iterator[tuple[Any, int]]:
    """All that is in a value of JSON, with its depth; without a stack of calls, which deep values would use up."""
    waiting = [(value, 1)]
    while waiting:
        current, depth = waiting.pop()
        yield current, depth
        if isinstance(current, Mapping):
            waiting += [(inner, depth + 1) for inner in current.values()]
        elif isinstance(current, list | tuple):
            waiting += [(inner, depth + 1) for inner in current]
