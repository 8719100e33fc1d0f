"""Llama 4: calls as Python writes them, in a list."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.json_calls import names_of
from plugtron.parsing.json_text import PYTHON_PIECE, object_of
from plugtron.parsing.literals import Incomplete, LiteralReader, NotALiteral
from plugtron.parsing.marked import SHORT, Call, MarkedParser, Read

__all__ = ["Llama4Parser"]

_OPEN, _CLOSE = "<|python_start|>", "<|python_end|>"
_NAME = re.compile(r"[A-Za-z_][\w.\-]*")
_QUOTES = {"'": True, '"': True}


class Llama4Parser(MarkedParser):
    """Reads `[name(key="value"), other()]`, between two tokens or without them.

    Without them a list is one of calls only at the beginning of an answer, and only when it names functions on offer.
    """

    reasoning: ClassVar = None
    call_marks: ClassVar = (_OPEN,)
    first_marks: ClassVar = ("[",)
    call_ends: ClassVar = ("]",)
    pieces: ClassVar = PYTHON_PIECE
    trims: ClassVar = False

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template has these tokens, or Llama 4's turns."""
        return _OPEN in template or "<|header_start|>" in template

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read a list of calls."""
        tagged = text.startswith(_OPEN)
        opened = text.find("[")
        if not ended and opened >= 0 and self.span(text, opened).end is None and len(text) > SHORT:
            return None
        reader = LiteralReader(text, len(_OPEN) if tagged else 0, _QUOTES)
        mark = Read(len(_OPEN) if tagged else 1)
        try:
            calls = _calls(reader)
        except Incomplete:
            return Read(len(text)) if ended and not tagged else None
        except NotALiteral:
            return mark
        if not calls or not (tagged or {call.name for call in calls} <= names_of(self.tools)):
            return mark
        if tagged and not ended and _CLOSE.startswith(text[reader.place :].lstrip()):
            return None
        if tagged:
            reader.takes(_CLOSE)
        return Read(reader.place, tuple(calls))


def _calls(reader: LiteralReader) -> list[Call]:
    """Raises Incomplete, NotALiteral: the text ends inside a list of calls, or is none."""
    if not reader.takes("["):
        raise Incomplete if not reader.text[reader.place :].strip() else NotALiteral
    calls: list[Call] = []
    while not reader.takes("]"):
        if calls and not reader.takes(","):
            raise reader.wrong()
        name = reader.word()
        if not _NAME.fullmatch(name) or not reader.takes("("):
            raise reader.wrong()
        calls.append(Call(name, object_of(_arguments(reader))))
    return calls


def _arguments(reader: LiteralReader) -> dict[str, str]:
    values: dict[str, str] = {}
    while not reader.takes(")"):
        if values and not reader.takes(","):
            raise reader.wrong()
        key = reader.word()
        if not reader.takes("="):
            raise reader.wrong()
        values[key] = reader.value()
    return values
