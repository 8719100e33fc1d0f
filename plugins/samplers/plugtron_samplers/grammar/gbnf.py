"""llama.cpp's grammars, GBNF, written as Lark grammars.

A GBNF grammar speaks of characters, so that a repeated class may end wherever what follows can begin. The translation
keeps that: a character is a terminal, and rules stay rules; a lexer that takes as much as it can decides nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

__all__ = ["gbnf_to_lark"]

_MOST_NESTING = 50
_NAME = re.compile(r"[A-Za-z0-9_-]+")
_DEFINED = re.compile(r"[ \t]*::=")
_COUNT = re.compile(r"\{\s*(\d{1,6})\s*(?:(,)\s*(\d{1,6})?\s*)?\}")
_SPACE = re.compile(r"(?:[ \t]|#[^\r\n]*)*")
_SPACE_AND_LINES = re.compile(r"(?:\s|#[^\r\n]*)*")
_ESCAPED: Mapping[str, str] = {
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "\\": "\\",
    '"': '"',
    "[": "[",
    "]": "]",
    "-": "-",
    "^": "^",
}
#: How many hexadecimal digits follow.
_DIGITS: Mapping[str, int] = {"x": 2, "u": 4, "U": 8}


def gbnf_to_lark(text: str) -> str:
    """Return a grammar in Lark's syntax with the same answers; `root` becomes `start`.

    Raises:
        ValueError: it is no GBNF; with the line.
    """
    return _Parser(text).lark()


class _Parser:
    """Reads a grammar from its beginning to its end, writing each rule as it goes."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        # Lark's names of rules, by GBNF's, which may have other letters.
        self._names = {"root": "start"}
        self._used: dict[str, int] = {}

    def lark(self) -> str:
        rules: dict[str, str] = {}
        self._skip(_SPACE_AND_LINES)
        while self._at < len(self._text):
            start = self._at
            name = self._word("a rule's name")
            if name in rules:
                raise self._error(f"rule {name!r} is defined twice", start)
            if self._take(_DEFINED) is None:
                raise self._error("::= is expected")
            self._skip(_SPACE_AND_LINES)
            rules[name] = self._alternatives(inside=False)
            self._skip(_SPACE_AND_LINES)
        if "root" not in rules:
            raise ValueError("there is no rule 'root'")
        for name, start in self._used.items():
            if name not in rules:
                raise self._error(f"rule {name!r} is not defined", start)
        return "".join(f"{self._names[name]}: {body}\n" for name, body in rules.items())

    def _alternatives(self, *, inside: bool) -> str:
        found = [self._sequence(inside=inside)]
        while self._peek() == "|":
            self._at += 1
            self._skip(_SPACE_AND_LINES)
            found.append(self._sequence(inside=inside))
        return " | ".join(found)

    def _sequence(self, *, inside: bool) -> str:
        space = _SPACE_AND_LINES if inside else _SPACE
        found: list[str] = []
        self._skip(space)
        while self._peek() not in ("", "|", ")", "\r", "\n"):
            item = self._item()
            self._skip(space)
            item += self._repeated()
            found.append(item)
            self._skip(space)
        return " ".join(found) or '""'

    def _item(self) -> str:
        letter = self._peek()
        if letter == '"':
            return json.dumps(self._characters('"'), ensure_ascii=False)
        if letter == "[":
            return self._class()
        if letter == ".":
            self._at += 1
            return "/(?s:.)/"
        if letter == "(":
            return self._group()
        if letter == "<":
            raise self._error("tokens in angle brackets are not done (accepted: texts, classes, rules, groups)")
        start = self._at
        name = self._word('a text, a class, a rule, "(" or "."')
        self._used.setdefault(name, start)
        return self._names.setdefault(name, f"rule_{len(self._names)}")

    def _group(self) -> str:
        self._depth += 1
        if self._depth > _MOST_NESTING:
            raise self._error(f"groups are nested more than {_MOST_NESTING} levels deep")
        start = self._at
        self._at += 1
        body = self._alternatives(inside=True)
        if self._peek() != ")":
            raise self._error("a group is not closed", start)
        self._at += 1
        self._depth -= 1
        return f"({body})"

    def _repeated(self) -> str:
        if self._peek() in ("*", "+", "?"):
            self._at += 1
            return self._text[self._at - 1]
        if self._peek() != "{":
            return ""
        counts = self._take(_COUNT)
        if counts is None:
            raise self._error("a repetition is {m}, {m,} or {m,n}")
        least, most = counts[1], counts[3] or ""
        if most and int(most) < int(least):
            raise self._error(f"{{{least},{most}}} is no range")
        return f"{{{least},{most}}}" if counts[2] else f"{{{least}}}"

    def _class(self) -> str:
        """A class of characters, as a regular expression in which each of them is a number."""
        start = self._at
        self._at += 1
        negated = self._peek() == "^"
        self._at += negated
        ranges: list[str] = []
        while self._peek() not in ("]", ""):
            low = high = self._character()
            if self._text[self._at : self._at + 1] == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._character()
            if high < low:
                raise self._error(f"{low}-{high} is no range", start)
            ranges.append(f"\\x{{{ord(low):x}}}-\\x{{{ord(high):x}}}")
        if not self._peek() or not ranges:
            raise self._error("a class of characters is not closed, or empty", start)
        self._at += 1
        return f"/[{'^' * negated}{''.join(ranges)}]/"

    def _characters(self, end: str) -> str:
        start = self._at
        self._at += 1
        found: list[str] = []
        while self._peek() != end:
            if not self._peek():
                raise self._error("a text is not closed", start)
            found.append(self._character())
        self._at += 1
        return "".join(found)

    def _character(self) -> str:
        """One character of a text or a class, which may be written as an escape."""
        letter, start = self._text[self._at], self._at
        self._at += 1
        if letter != "\\":
            return letter
        escape = self._peek()
        self._at += 1
        if escape in _ESCAPED and escape:
            return _ESCAPED[escape]
        digits = self._text[self._at : self._at + _DIGITS.get(escape, 0)]
        self._at += len(digits)
        if not re.fullmatch(r"[0-9A-Fa-f]+", digits) or len(digits) < _DIGITS[escape] or not _is_text(int(digits, 16)):
            raise self._error(f"{self._text[start : self._at]} is no escape", start)
        return chr(int(digits, 16))

    def _word(self, expected: str) -> str:
        word = self._take(_NAME)
        if word is None:
            raise self._error(f"{expected} is expected")
        # Each name has been met, even where nothing refers to it.
        self._names.setdefault(word[0], f"rule_{len(self._names)}")
        return word[0]

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        if found is not None:
            self._at = found.end()
        return found

    def _skip(self, pattern: re.Pattern[str]) -> None:
        self._take(pattern)

    def _error(self, message: str, at: int | None = None) -> ValueError:
        at = self._at if at is None else at
        line = self._text.count("\n", 0, at) + 1
        return ValueError(f"line {line}: {message} (at {self._text[at : at + 20]!r})")


def _is_text(number: int) -> bool:
    return number < 0x110000 and not 0xD800 <= number < 0xE000
