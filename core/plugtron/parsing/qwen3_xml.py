"""Qwen 3 Coder, Qwen 3.5 and later: calls in tags, values without quotes."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.marked import Call, MarkedParser, Read, until
from plugtron.parsing.schema import arguments_of

__all__ = ["Qwen3XmlParser"]

_OPEN, _CLOSE = "<tool_call>", "</tool_call>"
_FUNCTION, _END = "<function=", "</function>"
_HEAD = re.compile(r"(?:<tool_call>)?\s*<function=([^>\n]+)>\s*")
_PARAMETER = re.compile(r"\s*<parameter=([^>\n]+)>")
#: A value in lines of its own ends before a line that is markup, so that its text may have the same tags in it.
_LINES_END = re.compile(r"\n?</parameter>(?=\s*(?:<parameter=|</function>))|(?=\n<parameter=)|(?=\n</function>)")
_INLINE_END = re.compile(r"</parameter>(?=\s*(?:<parameter=|</function>))|(?=<parameter=)|(?=</function>)")


class Qwen3XmlParser(MarkedParser):
    """Reads `<tool_call><function=name><parameter=key>value</parameter></function></tool_call>`.

    Models leave out the first tag, the last one, or the end of a parameter; what is meant is clear without.
    """

    call_marks: ClassVar = (_OPEN, _FUNCTION)
    early_calls: ClassVar = (f"{_OPEN}\n{_FUNCTION}",)
    call_ends: ClassVar = (_END, _CLOSE)

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template writes calls in these tags."""
        return all(mark in template for mark in (_OPEN, _FUNCTION, "<parameter="))

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read a call."""
        head = _HEAD.match(text)
        if head is None:
            rest = text.removeprefix(_OPEN).lstrip()
            may_come = rest.startswith(_FUNCTION) and ">" not in rest and "\n" not in rest
            return None if may_come or _FUNCTION.startswith(rest) else Read(len(_OPEN if _OPEN in text else _FUNCTION))
        values, place = _values(text, head.end())
        if place is None:
            return until(text, _CLOSE) if ended else None
        rest = text[place:]
        closing = re.match(rf"\s*{_CLOSE}", rest)
        if closing is None and not ended and _CLOSE.startswith(rest.lstrip()):
            return None
        name = head[1].strip()
        length = place if closing is None else place + closing.end()
        return Read(length, (Call(name, arguments_of(self.tools, name, values)),))


def _values(text: str, place: int) -> tuple[dict[str, str], int | None]:
    """The values from a place on, and the place behind the end of the function; None: it has not come."""
    values: dict[str, str] = {}
    while parameter := _PARAMETER.match(text, place):
        start = parameter.end()
        in_lines = text.startswith("\n", start)
        end = (_LINES_END if in_lines else _INLINE_END).search(text, start)
        if end is None:
            return values, None
        values[parameter[1].strip()] = text[start + in_lines : max(end.start(), start + in_lines)]
        place = end.end()
    end = re.compile(rf"\s*{_END}").match(text, place)
    return values, None if end is None else end.end()
