"""Kimi K3: everything is an element between tokens, calls and arguments too."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.json_text import dump, load, object_of
from plugtron.parsing.marked import Call, MarkedParser, Read

__all__ = ["KimiK3Parser"]

_CALL = "<|open|>call "
_QUOTED = r'"((?:(?!<\|)[^"])*)"'
_HEAD = re.compile(rf"<\|open\|>call tool={_QUOTED}[^<]*<\|sep\|>")
_ARGUMENT = re.compile(rf'<\|open\|>argument key={_QUOTED}(?: type="(\w+)")?[^<]*<\|sep\|>')
#: The text of a value may have the same marks; its own are followed by another argument, or the call's end.
_VALUE_END = re.compile(r"<\|close\|>argument<\|sep\|>(?=<\|open\|>argument |<\|close\|>call<\|sep\|>)")
_END = "<|close|>call<|sep|>"


class KimiK3Parser(MarkedParser):
    """Reads `<|open|>call tool="name"<|sep|>` with an element for each argument, which says its type."""

    reasoning: ClassVar = ("<|open|>think<|sep|>", "<|close|>think<|sep|>")
    anywhere: ClassVar = True
    sections: ClassVar = {"<|open|>tools<|sep|>": "<|close|>tools<|sep|>"}
    silent: ClassVar = ("<|open|>response<|sep|>", "<|close|>response<|sep|>", "<|close|>message<|sep|>")
    call_marks: ClassVar = (_CALL,)
    call_ends: ClassVar = (_END,)
    trims: ClassVar = False

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template has these tokens."""
        return "<|open|>" in template and "<|sep|>" in template

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read a call."""
        del ended
        head = _HEAD.match(text)
        if head is None:
            return Read(len(_CALL)) if "<|sep|>" in text else None
        values: dict[str, str] = {}
        place = head.end()
        while argument := _ARGUMENT.match(text, place):
            end = _VALUE_END.search(text, argument.end())
            if end is None:
                return None
            written = text[argument.end() : end.start()]
            is_json = argument[2] not in (None, "string") and load(written)[0]
            values[_unescaped(argument[1])] = written.strip() if is_json else dump(written)
            place = end.end()
        if not text.startswith(_END, place):
            found = text.find(_END, place)
            return None if found < 0 else Read(found + len(_END))
        return Read(place + len(_END), (Call(_unescaped(head[1]), object_of(values)),))


def _unescaped(attribute: str) -> str:
    return attribute.replace("&quot;", '"').replace("&amp;", "&")
