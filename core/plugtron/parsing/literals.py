"""Values as some models write calls: like JSON, with other quotes, keys without any, and Python's constants."""

from __future__ import annotations

import re
from collections.abc import Mapping

from plugtron.parsing.json_text import dump, load, object_of

__all__ = ["Incomplete", "LiteralReader", "NotALiteral"]

_ESCAPE = re.compile(r"\\(?:u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPED = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "0": "\0", "\n": "", "\\": "\\", "'": "'", '"': '"'}
_CONSTANTS = {"True": "true", "False": "false", "None": "null"}
_WORD = re.compile(r"[\w.+\-]+")
#: What a key without quotes ends at.
_NO_KEY = re.compile(r"[:,{}\[\]<>]")
_SPACE = re.compile(r"\s*")
_DEEPEST = 100


class NotALiteral(ValueError):
    """The text is no value."""


class Incomplete(NotALiteral):
    """The text ends inside a value."""


class LiteralReader:
    """Reads values from a place in a text on, and writes them as JSON.

    Args:
        quotes: what strings begin and end with, and whether a backslash escapes in them.
        key_end: what a key without quotes ends with; empty: keys are strings.
    """

    def __init__(self, text: str, place: int, quotes: Mapping[str, bool], key_end: str = "") -> None:
        self.text = text
        self.place = place
        self._quotes = quotes
        self._key_end = key_end

    def value(self, depth: int = 0) -> str:
        """Read a value.

        Raises:
            Incomplete: the text ends in it.
            NotALiteral: there is none.
        """
        if depth > _DEEPEST:
            raise NotALiteral
        if self.takes("{"):
            return self._object(depth)
        if self.takes("["):
            return self._array(depth)
        quote = self._quote()
        return dump(self._string(quote)) if quote else self._constant()

    def takes(self, mark: str) -> bool:
        """Go behind a mark, and white space before it, where it comes next."""
        self._skip()
        there = self.text.startswith(mark, self.place)
        self.place += len(mark) * there
        return there

    def word(self) -> str:
        """Read letters, digits, and what numbers and names have besides."""
        self._skip()
        found = _WORD.match(self.text, self.place)
        if found is None or found.end() == len(self.text):
            raise Incomplete if found is not None or self.place == len(self.text) else NotALiteral
        self.place = found.end()
        return found[0]

    def _object(self, depth: int) -> str:
        members: dict[str, str] = {}
        while not self.takes("}"):
            if members and not self.takes(","):
                raise self.wrong()
            key = self._key()
            if not self.takes(":"):
                raise self.wrong()
            members[key] = self.value(depth + 1)
        return object_of(members)

    def _array(self, depth: int) -> str:
        items: list[str] = []
        while not self.takes("]"):
            if items and not self.takes(","):
                raise self.wrong()
            items.append(self.value(depth + 1))
        return f"[{', '.join(items)}]"

    def _key(self) -> str:
        self._skip()
        quote = self._quote()
        if quote:
            return self._string(quote)
        end = _NO_KEY.search(self.text, self.place)
        if end is None:
            raise Incomplete
        if end is None or not self._key_end or end[0] != self._key_end:
            raise self.wrong()
        key, self.place = self.text[self.place : end.start()].strip(), end.start()
        return key

    def _quote(self) -> str:
        """The quote that comes next; none: it is something else."""
        rest = self.text[self.place : self.place + max(map(len, self._quotes))]
        if any(len(rest) < len(quote) and quote.startswith(rest) for quote in self._quotes):
            raise Incomplete
        return next((quote for quote in self._quotes if rest.startswith(quote)), "")

    def _string(self, quote: str) -> str:
        start = self.place + len(quote)
        end = self.text.find(quote, start)
        while self._quotes[quote] and end >= 0 and self._is_escaped(start, end):
            end = self.text.find(quote, end + 1)
        if end < 0:
            raise Incomplete
        self.place = end + len(quote)
        raw = self.text[start:end]
        return _ESCAPE.sub(_unescaped, raw) if self._quotes[quote] else raw

    def _is_escaped(self, start: int, place: int) -> bool:
        before = self.text[start:place]
        return (len(before) - len(before.rstrip("\\"))) % 2 == 1

    def _constant(self) -> str:
        word = self.word()
        written = _CONSTANTS.get(word, word)
        if not load(written)[0]:
            raise NotALiteral
        return written

    def _skip(self) -> None:
        space = _SPACE.match(self.text, self.place)
        self.place = self.place if space is None else space.end()

    def wrong(self) -> NotALiteral:
        """What is wrong where something else was to come."""
        return Incomplete() if not self.text[self.place :].strip() else NotALiteral()


def _unescaped(escape: re.Match[str]) -> str:
    mark = escape[0][1]
    if mark in "ux" and len(escape[0]) > 2:
        return chr(int(escape[0][2:], 16))
    return _ESCAPED.get(mark, escape[0])
