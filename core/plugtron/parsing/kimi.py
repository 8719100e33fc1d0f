"""Kimi K2: calls between tokens of their own; the name is in the id."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.json_calls import broken_before, object_text, read_to
from plugtron.parsing.marked import Call, MarkedParser, Read

__all__ = ["KimiParser"]

_OPEN, _ARGUMENTS, _CLOSE = "<|tool_call_begin|>", "<|tool_call_argument_begin|>", "<|tool_call_end|>"
_ID = re.compile(r"(?:functions\.)?(.+?)(?::\d+)?")


class KimiParser(MarkedParser):
    """Reads `functions.name:0<|tool_call_argument_begin|>{...}`; the template wants the id back as it is."""

    sections: ClassVar = {"<|tool_calls_section_begin|>": "<|tool_calls_section_end|>"}
    call_marks: ClassVar = (_OPEN,)
    call_ends: ClassVar = (_CLOSE,)
    trims: ClassVar = False

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template has these tokens."""
        return _OPEN in template

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read a call."""
        broken = broken_before(text, _ARGUMENTS, _CLOSE)
        if broken is not None:
            return broken
        head, _, body = text.removeprefix(_OPEN).partition(_ARGUMENTS)
        found = read_to(text, len(text) - len(body.lstrip()), _CLOSE, ended=ended)
        if found is None:
            return None
        name, arguments = _ID.fullmatch(head.strip()), object_text(found[0])
        if name is None or arguments is None:
            return Read(found[1])
        return Read(found[1], (Call(name[1], arguments, head.strip()),))
