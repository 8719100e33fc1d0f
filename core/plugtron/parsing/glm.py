"""GLM 4.5 and later: keys and values in tags, values without quotes."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.marked import Call, MarkedParser, Read, until
from plugtron.parsing.schema import arguments_of

__all__ = ["GlmParser"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_VALUE_END = "</arg_value>"
_HEAD = re.compile(r"<tool_call>\s*([\w.\-]+)\s*(?=<)")
_KEY = re.compile(r"\s*<arg_key>(.*?)</arg_key>\s*<arg_value>", re.DOTALL)
_END = re.compile(rf"\s*{_CLOSE}")


class GlmParser(MarkedParser):
    """Reads `<tool_call>name<arg_key>key</arg_key><arg_value>value</arg_value></tool_call>`, in lines or without."""

    call_marks: ClassVar = (_OPEN,)
    call_ends: ClassVar = (_CLOSE, _VALUE_END)

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template writes calls in these tags."""
        return "<arg_key>" in template and _OPEN in template

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read a call."""
        head = _HEAD.match(text)
        if head is None:
            return None if re.fullmatch(r"<tool_call>\s*[\w.\-]*\s*", text) else Read(len(_OPEN))
        values: dict[str, str] = {}
        place = head.end()
        while key := _KEY.match(text, place):
            end = text.find(_VALUE_END, key.end())
            if end >= 0:
                place = end + len(_VALUE_END)
            elif ended and text.rstrip().endswith(_CLOSE):  # the end of the last value was left out
                end = place = text.rindex(_CLOSE)
            else:
                return None
            values[key[1].strip()] = text[key.end() : end]
        closing = _END.match(text, place)
        if closing is None:
            return until(text, _CLOSE) if ended else None
        return Read(closing.end(), (Call(head[1], arguments_of(self.tools, head[1], values)),))
