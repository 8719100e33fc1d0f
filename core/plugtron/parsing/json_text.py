"""JSON inside other text: where a value ends, and whether it is one. Nothing here raises on what models write."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from plugtron.utils.json_file import once

__all__ = [
    "JSON_PIECE",
    "PYTHON_PIECE",
    "Span",
    "SpanReader",
    "dump",
    "find_outside_strings",
    "load",
    "load_object",
    "members",
    "object_of",
    "span_of",
]

_STRING = r'"[^"\\]*(?:\\.[^"\\]*)*(?:"|(?P<open>\\?\Z))'
#: A bracket or a string; a string that the text ends in has a group.
JSON_PIECE = re.compile(rf"{_STRING}|[{{}}\[\]]", re.DOTALL)
#: The same where strings have either quote.
PYTHON_PIECE = re.compile(rf"{_STRING}|'[^'\\]*(?:\\.[^'\\]*)*(?:'|(?P<open_too>\\?\Z))|[{{}}\[\]]", re.DOTALL)
_HALF = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\r\n]*")
#: Deeper nesting is refused before `json`, whose reader recurses, would fail in it.
_DEEPEST = 100


@dataclass(frozen=True, slots=True)
class Span:
    """How far an object or array was followed: `end` is behind its last bracket, None while that has not come.

    `broken` says that it cannot become JSON.
    """

    end: int | None = None
    broken: bool = False


class SpanReader:
    """Follows an object or array by brackets and strings alone, in a text that grows.

    Args:
        pattern: what matches a bracket or a string; a string without an end has a group.
    """

    def __init__(self, pattern: re.Pattern[str] = JSON_PIECE) -> None:
        self._pattern = pattern
        self.reset()

    def reset(self) -> None:
        """Forget the text: the next one is another."""
        self._start = self._place = -1
        self._depth = 0

    def follow(self, text: str, start: int) -> Span:
        """Go on from where the same text was left, which may have grown since."""
        if text[start : start + 1] not in ("{", "["):
            return Span(broken=start < len(text))
        if start != self._start:
            self._start = self._place = start
            self._depth = 0
        elif self._depth == 0:
            return Span(end=self._place)
        for piece in self._pattern.finditer(text, self._place):
            if piece.lastgroup is not None:
                break
            self._place = piece.end()
            if piece[0] in "{[":
                self._depth += 1
            elif piece[0] in "}]":
                self._depth -= 1
            if self._depth > _DEEPEST:
                return Span(broken=True)
            if self._depth == 0:
                return Span(end=self._place)
        return Span()


def span_of(text: str, start: int) -> Span:
    """Follow the object or array that begins at `start`."""
    return SpanReader().follow(text, start)


def find_outside_strings(text: str, start: int, *marks: str) -> int:
    """The first place of one of several marks that is in no string of the JSON that begins at `start`; -1: none is."""
    quoted = f"{_STRING}|" if text[start : start + 1] in ("{", "[") else ""
    for piece in re.compile(quoted + "|".join(map(re.escape, marks)), re.DOTALL).finditer(text, start):
        if not piece[0].startswith('"'):
            return piece.start()
    return -1


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _load(text: str) -> Any:
    """Raises ValueError: it is no JSON, or a key stands twice."""
    return json.loads(text, parse_constant=_no_constant, object_pairs_hook=once)


def load(text: str) -> tuple[bool, Any]:
    """Whether a text is JSON, and its value."""
    opening = text.lstrip()[:1]
    if opening in ("{", "[") and span_of(text, len(text) - len(text.lstrip())).end is None:
        return False, None
    try:
        return True, _load(text)
    except ValueError:
        return False, None


def load_object(text: str) -> dict[str, Any] | None:
    """The object that a text is; None where it is none."""
    is_json, value = load(text)
    return value if is_json and isinstance(value, dict) else None


def dump(value: Any) -> str:
    """A value as JSON; half of a surrogate pair, which no file can hold, as an escape."""
    text = json.dumps(value, ensure_ascii=False)
    return json.dumps(value) if _HALF.search(text) else text


def object_of(values: Mapping[str, str]) -> str:
    """A JSON object of values that are JSON."""
    return "{" + ", ".join(f"{dump(key)}: {value}" for key, value in values.items()) + "}"


def members(text: str) -> dict[str, str] | None:
    """The members of the object that a text is, each value as it is written; None where it is no object."""
    if load_object(text) is None:
        return None
    decoder = json.JSONDecoder()
    found: dict[str, str] = {}
    position = _skip(text, _skip(text, 0) + 1)
    while text[position] != "}":
        key, position = decoder.raw_decode(text, position)
        position = _skip(text, _skip(text, position) + 1)  # behind the colon
        _, end = decoder.raw_decode(text, position)
        found[key] = text[position:end]
        position = _skip(text, end)
        if text[position] == ",":
            position = _skip(text, position + 1)
    return found


def _skip(text: str, position: int) -> int:
    match = _SPACE.match(text, position)
    return position if match is None else match.end()
