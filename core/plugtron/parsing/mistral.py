"""Mistral's models: [TOOL_CALLS] and either an array of calls, or a name and its arguments."""

from __future__ import annotations

import re
from typing import ClassVar

from plugtron.parsing.json_calls import named_call, object_text
from plugtron.parsing.json_text import Span, span_of
from plugtron.parsing.marked import Call, MarkedParser, Read

__all__ = ["MistralParser", "TextThinkMistralParser"]

_OPEN = "[TOOL_CALLS]"
_HEAD = re.compile(r"\[TOOL_CALLS\]\s*([\w.\-]+)(?:\[CALL_ID\]([^\[\s]+))?(?:\[ARGS\])?\s*(?=\{)")
#: What may still become such a head.
_BEGINNING = re.compile(r"\[TOOL_CALLS\]\s*[\w.\-]*(?:\[[A-Z_]*\]?[^\[\s{]*){0,2}\s*")
_ARRAY = re.compile(r"\[TOOL_CALLS\]\s*(?=\[\s*(?:[\]{]|\Z))")


class MistralParser(MarkedParser):
    """Reads `[TOOL_CALLS]name[ARGS]{...}`, with an id or without, and `[TOOL_CALLS] [{"name": ..., ...}]`.

    Reasoning is between [THINK] and [/THINK].
    """

    reasoning: ClassVar = ("[THINK]", "[/THINK]")
    anywhere: ClassVar = True
    call_marks: ClassVar = (_OPEN,)
    call_ends: ClassVar = ("}", "]")
    trims: ClassVar = False

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template has the token before calls, or those around reasoning."""
        return (_OPEN in template or "[THINK]" in template) and "<think>" not in template

    def read_call(self, text: str, *, ended: bool) -> Read | None:
        """Read a call, or an array of them."""
        del ended  # an array or an object that has no end yet is none
        array, head = _ARRAY.match(text), _HEAD.match(text)
        if array is not None:
            return _read_array(text, array.end(), self.span(text, array.end()))
        if head is None:
            return None if _BEGINNING.fullmatch(text) else Read(len(_OPEN))
        span = self.span(text, head.end())
        if span.end is None:
            return Read(len(_OPEN)) if span.broken else None
        arguments = object_text(text[head.end() : span.end])
        return Read(span.end, () if arguments is None else (Call(head[1], arguments, head[2]),))


class TextThinkMistralParser(MistralParser):
    """The same for Magistral's first models, whose reasoning is between <think> and </think>."""

    reasoning: ClassVar = ("<think>", "</think>")
    anywhere: ClassVar = False

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template has the token before calls, and reasoning in words."""
        return _OPEN in template and "<think>" in template


def _read_array(text: str, start: int, span: Span) -> Read | None:
    if span.end is None:
        return Read(len(_OPEN)) if span.broken else None
    calls: list[Call] = []
    place = start + 1
    while (brace := text.find("{", place, span.end)) >= 0:
        end = span_of(text, brace).end
        call = None if end is None else named_call(text[brace:end], "arguments")
        if end is None or call is None:
            return Read(span.end)
        calls.append(call)
        place = end
    return Read(span.end, tuple(calls))
