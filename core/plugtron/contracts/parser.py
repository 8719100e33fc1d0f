"""Parsers of answers: from what a model has written to content, reasoning and tool calls. Torch-free."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "AnswerDelta",
    "ArgumentsDelta",
    "CallBegun",
    "ContentDelta",
    "ParsedAnswer",
    "Parser",
    "ReasoningDelta",
    "ToolCall",
    "parse_answer",
]


@dataclass(frozen=True, slots=True)
class ContentDelta:
    """Text that was added to the answer's content."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """Text that was added to the answer's reasoning."""

    text: str


@dataclass(frozen=True, slots=True)
class CallBegun:
    """A tool call has begun; the first of an answer has the index 0, the next one 1."""

    index: int
    name: str
    id: str


@dataclass(frozen=True, slots=True)
class ArgumentsDelta:
    """Text that was added to the arguments of the call of this index."""

    index: int
    text: str


AnswerDelta = ContentDelta | ReasoningDelta | CallBegun | ArgumentsDelta


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool; `arguments` is the text of a JSON object."""

    name: str
    arguments: str
    id: str

    def to_dict(self) -> dict[str, Any]:
        """As chat templates read it."""
        try:
            arguments = json.loads(self.arguments)
        except ValueError:  # of a parser that does not keep to its contract
            arguments = self.arguments
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": arguments}}


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """An answer taken apart; a text that is empty was not there."""

    content: str
    reasoning: str
    tool_calls: tuple[ToolCall, ...]

    @classmethod
    def of(cls, deltas: Sequence[AnswerDelta]) -> ParsedAnswer:
        """What all deltas of an answer come to."""
        begun = [delta for delta in deltas if isinstance(delta, CallBegun)]
        arguments = {
            call.index: "".join(
                each.text for each in deltas if isinstance(each, ArgumentsDelta) and each.index == call.index
            )
            for call in begun
        }
        return cls(
            content="".join(delta.text for delta in deltas if isinstance(delta, ContentDelta)),
            reasoning="".join(delta.text for delta in deltas if isinstance(delta, ReasoningDelta)),
            tool_calls=tuple(ToolCall(call.name, arguments[call.index], call.id) for call in begun),
        )

    def to_message(self) -> dict[str, Any]:
        """The answer as a message to go on with, as chat templates read it: arguments are an object where they are."""
        return {
            "role": "assistant",
            "content": self.content,
            "reasoning": self.reasoning or None,
            "tool_calls": [call.to_dict() for call in self.tool_calls] or None,
        }


class Parser(ABC):
    """Takes one answer of a conversation apart while it is written. A parser is made for one answer.

    It reads text in which special tokens are kept (`Tokenizer.decode(ids, skip_special=False)`, or requests with
    `skip_special_tokens: false`), and without the token that ended it: families write their marks as special tokens.

    What is no good never raises. A call that is closed and cannot be read stays content as it is written; a call that
    the answer ends in is left out: an incomplete call must not be run.

    Args:
        tools: the functions on offer, as in `ChatOptions.tools`. Where there are none, marks of calls are text.
        prompt: what the answer goes on from. It may have opened the reasoning already.
    """

    @abstractmethod
    def __init__(self, tools: Sequence[Mapping[str, Any]], prompt: str) -> None: ...

    @classmethod
    @abstractmethod
    def recognizes(cls, template: str) -> bool:
        """Whether a chat template has the marks that this parser reads."""

    @abstractmethod
    def push(self, text: str) -> list[AnswerDelta]:
        """Add text of the answer; return what is now certain."""

    @abstractmethod
    def finish(self) -> list[AnswerDelta]:
        """Return what was held back; the answer has ended."""


def parse_answer(parser: Parser, text: str) -> ParsedAnswer:
    """Take a whole answer apart, with a parser that has read nothing yet."""
    return ParsedAnswer.of([*parser.push(text), *parser.finish()])
