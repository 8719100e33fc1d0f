"""Calls whose arguments are JSON: up to a mark that is in none of their strings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from plugtron.parsing.json_text import find_outside_strings, load_object, members
from plugtron.parsing.marked import Call, Read, until

__all__ = ["broken_before", "function_of", "named_call", "names_of", "object_text", "read_to"]


def read_to(text: str, start: int, mark: str, *, ended: bool) -> tuple[str, int] | None:
    """Read from `start` to the first mark that is in no string of the JSON there.

    Returns:
        The text before the mark and the place behind it; None: the mark has not come.
    """
    place = find_outside_strings(text, start, mark)
    if place < 0 and ended:  # a string without an end has every mark in it
        place = text.find(mark, start)
    return None if place < 0 else (text[start:place], place + len(mark))


def broken_before(text: str, separator: str, mark: str) -> Read | None:
    """All up to behind a mark that comes before what separates a call's name from its arguments."""
    broken = until(text, mark)
    return None if broken is None or 0 <= text.find(separator) < broken.length else broken


def object_text(text: str) -> str | None:
    """A JSON object as it is written, without what is around it; None where the text is none."""
    return None if load_object(text) is None else text.strip()


def named_call(text: str, *keys: str) -> Call | None:
    """The call that an object with a name, and arguments under one of the keys, stands for; None where it is none."""
    fields = members(text) or {}
    name = json.loads(fields.get("name", "null"))
    arguments = next((fields[key] for key in keys if key in fields), None)
    if not isinstance(name, str) or not name or arguments is None or load_object(arguments) is None:
        return None
    given = json.loads(fields.get("id", "null"))
    return Call(name, arguments, given if isinstance(given, str) and given else None)


def function_of(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """The description of a tool's function, whether or not it is wrapped as {type: function, function: ...}."""
    function = tool.get("function", tool)
    return function if isinstance(function, Mapping) else {}


def names_of(tools: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """The names of the functions on offer."""
    return frozenset(name for tool in tools if isinstance(name := function_of(tool).get("name"), str))
