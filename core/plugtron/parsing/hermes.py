"""Hermes, Qwen 2.5, Qwen 3 and others: JSON in <tool_call>, reasoning in <think>."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.json_calls import named_call, read_to
from plugtron.parsing.marked import MarkedParser, Read

__all__ = ["HermesParser"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
#: A template that writes JSON has the key, or says how to write it.
_NAME = re.compile(r'\\?"name\\?"|tojson')


class HermesParser(MarkedParser):
    """Reads `<tool_call>{"name": ..., "arguments": {...}}</tool_call>`."""

    call_marks: ClassVar = (_OPEN,)
    call_ends: ClassVar = (_CLOSE,)

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template writes calls as JSON between these marks."""
        others = ("<function=", "<arg_key>", "<invoke")
        return _OPEN in template and _NAME.search(template) is not None and not any(map(template.__contains__, others))

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read a call."""
        start = len(text) - len(text.removeprefix(_OPEN).lstrip())
        if text[start : start + 1] not in ("", "{"):
            return Read(len(_OPEN))
        found = read_to(text, start, _CLOSE, ended=ended)
        if found is None:
            return None
        call = named_call(found[0], "arguments", "parameters")
        return Read(found[1], () if call is None else (call,))
