"""Llama 3.1 to 3.3: an answer that is JSON, or JSON behind a token."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.json_calls import named_call, names_of
from plugtron.parsing.marked import Call, MarkedParser, Read

__all__ = ["Llama3Parser"]

_TAG = "<|python_tag|>"
_NEXT = re.compile(r"\s*;\s*(?=\{)")


class Llama3Parser(MarkedParser):
    """Reads `{"name": ..., "parameters": {...}}`, several with semicolons between them.

    Nothing but the token tells a call from an answer that is JSON. Without it an object is a call only at the
    beginning of an answer, and only when it names a function on offer.
    """

    reasoning: ClassVar = None
    call_marks: ClassVar = (_TAG,)
    first_marks: ClassVar = ("{",)
    call_ends: ClassVar = ("}",)
    trims: ClassVar = False

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template has the token, or asks for calls with parameters in Llama's turns."""
        asks = "<|start_header_id|>" in template and '"parameters": ' in template
        return (_TAG in template or asks) and "<function=" not in template

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read calls."""
        tagged = text.startswith(_TAG)
        start = len(text) - len(text.removeprefix(_TAG).lstrip())
        if tagged and text[start : start + 1] not in ("", "{"):
            return Read(len(_TAG))
        calls: list[Call] = []
        place = start
        while True:
            span = self.span(text, place)
            call = None if span.end is None else named_call(text[place : span.end], "parameters", "arguments")
            known = call is not None and (tagged or call.name in names_of(self.tools))
            if call is None or not known or span.end is None:
                break
            calls.append(call)
            following = _NEXT.match(text, span.end)
            if following is None:
                waits = not ended and re.fullmatch(r"\s*;?\s*", text[span.end :])
                return None if waits else Read(span.end, tuple(calls))
            place = following.end()
        if calls:  # one has been read, and what is behind it is none, or is not all there
            behind = text.rindex(";", 0, place)
            return Read(behind, tuple(calls)) if ended or span.end or span.broken else None
        if span.end is not None:
            return Read(span.end)
        return Read(len(text)) if span.broken or (ended and not tagged) else None
