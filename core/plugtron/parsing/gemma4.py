"""Gemma 4: calls and reasoning between tokens of their own, strings between tokens, too."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.literals import Incomplete, LiteralReader, NotALiteral
from plugtron.parsing.marked import Call, MarkedParser, Read, until

__all__ = ["Gemma4Parser"]

_OPEN, _CLOSE = "<|tool_call>", "<tool_call|>"
_HEAD = re.compile(r"<\|tool_call>\s*call:([^{}<>\s]+)\s*(?=\{)")
_BEGINNING = re.compile(r"<\|tool_call>\s*(?:c|ca|cal|call|call:[^{}<>\s]*\s*)?")
_QUOTES = {'<|"|>': False}


class Gemma4Parser(MarkedParser):
    """Reads `<|tool_call>call:name{key:<|"|>text<|"|>,other:1}<tool_call|>`."""

    reasoning: ClassVar = ("<|channel>thought", "<channel|>")
    anywhere: ClassVar = True
    call_marks: ClassVar = (_OPEN,)
    call_ends: ClassVar = (_CLOSE,)
    trims: ClassVar = False

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template has these tokens."""
        return _OPEN in template

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read a call."""
        head = _HEAD.match(text)
        if head is None:
            return None if _BEGINNING.fullmatch(text) else Read(len(_OPEN))
        reader = LiteralReader(text, head.end(), _QUOTES, key_end=":")
        try:
            arguments = reader.value()
        except Incomplete:
            return until(text, _CLOSE) if ended else None
        except NotALiteral:
            return until(text, _CLOSE)
        if reader.takes(_CLOSE):
            return Read(reader.place, (Call(head[1], arguments),))
        may_come = _CLOSE.startswith(text[reader.place :].strip())
        return None if may_come else until(text, _CLOSE)
