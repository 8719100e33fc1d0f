"""gpt-oss: messages of OpenAI's harmony format, each on a channel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

from plugtron.contracts.parser import AnswerDelta, ContentDelta, Parser, ReasoningDelta
from plugtron.parsing.json_calls import object_text
from plugtron.parsing.json_text import SpanReader, find_outside_strings
from plugtron.parsing.marked import Call, CallNumbers, first_of, held_back

__all__ = ["GptOssParser"]

_START, _CHANNEL, _MESSAGE = "<|start|>", "<|channel|>", "<|message|>"
_ENDS = ("<|end|>", "<|return|>", "<|start|>assistant")
_CALL_ENDS = (*_ENDS, "<|call|>")
#: What a header begins with where the prompt has not begun one.
_HEADS = (_START, _CHANNEL, _MESSAGE, "<|constrain|>", "to=")
_RECIPIENT = re.compile(r"to=([^\s<]+)")
_NAMED_CHANNEL = re.compile(r"<\|channel\|>(\w+)")


class _Place(Enum):
    HEADER = "header"
    REASONING = "analysis"
    CONTENT = "final"
    CALL = "call"
    UNHEARD = "unheard"


class GptOssParser(Parser):
    """Reads `<|channel|>commentary to=functions.name<|message|>{...}`, in both orders of the header.

    The channel analysis is reasoning; final, and commentary to nobody, are content. What is meant for a tool of the
    model's own, such as python, is neither. A header that is garbled is left out, with what is in it.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]], prompt: str) -> None:
        self._tools = tools
        self._numbers = CallNumbers(prompt)
        self._text = ""
        self._name = ""
        self._span = SpanReader()
        self._place = _Place.HEADER
        _, started, head = prompt.rpartition(_START)
        self._head = head if started and first_of(head, _CALL_ENDS) is None else ""
        if _MESSAGE in self._head:
            self._begin(self._head)

    @classmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a template writes messages with channels."""
        return _CHANNEL in template and _MESSAGE in template

    def push(self, text: str) -> list[AnswerDelta]:
        """Add text of the answer; return what is now certain."""
        self._text += text
        return self._advance(ended=False)

    def finish(self) -> list[AnswerDelta]:
        """Return what was held back; the answer has ended."""
        return self._advance(ended=True)

    def _advance(self, *, ended: bool) -> list[AnswerDelta]:
        deltas: list[AnswerDelta] = []
        going = True
        while going and self._text:
            read = self._read_header if self._place is _Place.HEADER else self._read_body
            read = self._read_arguments if self._place is _Place.CALL else read
            going = read(deltas, ended)
        return deltas

    def _read_header(self, deltas: list[AnswerDelta], ended: bool) -> bool:
        """Read up to a message's text; say whether there may be more to read."""
        del deltas
        begun = self._text.lstrip()
        if _CHANNEL not in self._head and not begun.startswith(_HEADS):
            if not ended and any(head.startswith(begun) for head in _HEADS):
                return False
            self._place = _Place.CONTENT  # no header at all
            return True
        start = len(self._text) - len(begun.removeprefix(_START))
        found = first_of(self._text, (_MESSAGE, *_CALL_ENDS), start)
        if found is None:
            self._text = "" if ended else self._text
            return False
        place, mark = found
        header, self._text = self._head + self._text[:place], self._text[place:]
        if not mark.startswith(_START):
            self._text = self._text.removeprefix(mark)
        self._head = ""
        if mark == _MESSAGE:
            self._begin(header)
        return True

    def _begin(self, header: str) -> None:
        """Say from its header where a message's text belongs."""
        recipients = [name for name in _RECIPIENT.findall(header) if name != "assistant"]
        functions = [name.removeprefix("functions.") for name in recipients if name.startswith("functions.")]
        channels = _NAMED_CHANNEL.findall(header)
        self._head = ""
        if functions and self._tools:
            self._place, self._name = _Place.CALL, functions[-1]
            self._span.reset()
        elif recipients and not functions:
            self._place = _Place.UNHEARD
        else:
            self._place = _Place.REASONING if channels[-1:] == ["analysis"] else _Place.CONTENT

    def _read_body(self, deltas: list[AnswerDelta], ended: bool) -> bool:
        ends = _CALL_ENDS if self._place is _Place.UNHEARD else _ENDS
        found = first_of(self._text, ends)
        certain = len(self._text) - (0 if ended else held_back(self._text, ends)) if found is None else found[0]
        text, self._text = self._text[:certain], self._text[certain:]
        if text and self._place is not _Place.UNHEARD:
            deltas.append(ReasoningDelta(text) if self._place is _Place.REASONING else ContentDelta(text))
        if found is not None:
            self._end(found[1])
        return found is not None

    def _read_arguments(self, deltas: list[AnswerDelta], ended: bool) -> bool:
        """Read a call. It has ended with its arguments: what ends a message is often not in the text."""
        start = len(self._text) - len(self._text.lstrip())
        span = self._span.follow(self._text, start)
        if span.end is not None and (arguments := object_text(self._text[start : span.end])) is not None:
            deltas += self._numbers.deltas(Call(self._name, arguments))
            self._place, self._text = _Place.UNHEARD, self._text[span.end :]
            return True
        ended_early = first_of(self._text, _CALL_ENDS) and find_outside_strings(self._text, start, *_CALL_ENDS) >= 0
        if span.broken or span.end is not None or ended_early:
            self._place = _Place.CONTENT
            return True
        self._text = "" if ended else self._text
        return False

    def _end(self, mark: str) -> None:
        self._place = _Place.HEADER
        if not mark.startswith(_START):
            self._text = self._text.removeprefix(mark)
