"""DeepSeek V3, R1 and V3.1: calls between tokens of their own, arguments as JSON."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.json_calls import broken_before, object_text, read_to
from plugtron.parsing.marked import Call, MarkedParser, Read

__all__ = ["DeepseekParser"]

_OPEN, _CLOSE = "<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"
_SEPARATOR = "<｜tool▁sep｜>"
#: V3 and R1 write the type before the separator, and the name behind it; V3.1 writes the name before it.
_FENCED = re.compile(r"\s*([^\n`{<]+?)\s*\n```(?:json)?\s*")


class DeepseekParser(MarkedParser):
    """Reads `function<｜tool▁sep｜>name` with JSON in a fence, and `name<｜tool▁sep｜>{...}`."""

    sections: ClassVar = {"<｜tool▁calls▁begin｜>": "<｜tool▁calls▁end｜>"}
    call_marks: ClassVar = (_OPEN,)
    call_ends: ClassVar = (_CLOSE,)

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template has these tokens."""
        return _OPEN in template

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read a call."""
        broken = broken_before(text, _SEPARATOR, _CLOSE)
        if broken is not None:
            return broken
        head, _, body = text.removeprefix(_OPEN).partition(_SEPARATOR)
        fenced = _FENCED.match(body)
        start = len(text) - len(body) + (fenced.end() if fenced else 0)
        found = read_to(text, start, _CLOSE, ended=ended)
        if found is None:
            return None
        written = found[0].strip()
        arguments = object_text(written.removesuffix("```") if fenced else written)
        name = (fenced[1] if fenced else head).strip()
        if not name or arguments is None:
            return Read(found[1])
        return Read(found[1], (Call(name, arguments),))
