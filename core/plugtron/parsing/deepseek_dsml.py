"""DeepSeek V3.2 and V4: calls in tags that begin with ｜DSML｜."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.json_text import dump, load, object_of
from plugtron.parsing.marked import Call, MarkedParser, Read

__all__ = ["DeepseekDsmlParser"]

_NAMES = ("function_calls", "tool_calls", " calls")
_INVOKES = ("<｜DSML｜invoke ", "<｜DSML｜ invoke ")
_HEAD = re.compile(r'<｜DSML｜ ?invoke name="([^"\n<>]+)"\s*(/?)>')
_PARAMETER = re.compile(r'\s*<｜DSML｜ ?parameter name="([^"\n<>]+)"(?: string="(true|false)")?\s*>')
_VALUE_END = re.compile(r"</｜DSML｜ ?parameter>")
_END = re.compile(r"\s*</｜DSML｜ ?invoke>")


class DeepseekDsmlParser(MarkedParser):
    """Reads `<｜DSML｜invoke name="f">`, with `<｜DSML｜parameter name="key" string="true">value` for each argument.

    A value says itself whether it is a text or JSON.
    """

    sections: ClassVar = {f"<｜DSML｜{name}>": f"</｜DSML｜{name}>" for name in _NAMES}
    call_marks: ClassVar = _INVOKES
    call_ends: ClassVar = ("</｜DSML｜invoke>", "</｜DSML｜ invoke>", "/>")

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template has tags of this language, whose name templates may put together."""
        return "｜DSML｜" in template

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read a call."""
        head = _HEAD.match(text)
        if head is None:
            return self._broken(text) if ">" in text else None
        values: dict[str, str] = {}
        place = head.end()
        if not head[2]:
            while parameter := _PARAMETER.match(text, place):
                end = _VALUE_END.search(text, parameter.end())
                if end is None:
                    return None
                value = text[parameter.end() : end.start()]
                is_json, _ = load(value) if parameter[2] == "false" else (False, None)
                values[parameter[1]] = value.strip() if is_json else dump(value)
                place = end.end()
            end = _END.match(text, place)
            if end is None:
                return self._broken(text) if ended else None
            place = end.end()
        return Read(place, (Call(head[1], object_of(values)),))

    @staticmethod
    def _broken(text: str) -> Read | None:
        """A call that ends, and has something else in it than parameters, stays as it is written."""
        end = re.search(r"</｜DSML｜ ?invoke>", text)
        return None if end is None else Read(end.end())
