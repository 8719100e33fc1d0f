"""An answer that grows, as a message of OpenAI's API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plugtron.contracts.parser import AnswerDelta, ArgumentsDelta, CallBegun, ParsedAnswer

__all__ = ["Answer"]


class Answer:
    """What has become of one answer.

    Args:
        parallel: whether it may have several calls; if not, those after the first are left out.
    """

    def __init__(self, *, parallel: bool) -> None:
        self._deltas: list[AnswerDelta] = []
        self._parallel = parallel

    def add(self, deltas: Sequence[AnswerDelta]) -> Sequence[AnswerDelta]:
        """Take deltas; return those that are part of the answer."""
        if not self._parallel:
            deltas = [each for each in deltas if not (isinstance(each, CallBegun | ArgumentsDelta) and each.index > 0)]
        self._deltas += deltas
        return deltas

    @property
    def has_calls(self) -> bool:
        """Whether there is a call."""
        return any(isinstance(each, CallBegun) for each in self._deltas)

    @property
    def parsed(self) -> ParsedAnswer:
        """The answer so far."""
        return ParsedAnswer.of(self._deltas)

    def message(self, *, with_reasoning: bool) -> dict[str, Any]:
        """The answer as a message."""
        parsed = self.parsed
        calls = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in parsed.tool_calls
        ]
        message: dict[str, Any] = {
            "role": "assistant",
            "content": parsed.content if parsed.content or not calls else None,
            "refusal": None,
        }
        if with_reasoning and parsed.reasoning:
            message["reasoning_content"] = parsed.reasoning
        if calls:
            message["tool_calls"] = calls
        return message
