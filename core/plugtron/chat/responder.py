"""What answers a conversation: a model of this process, or one behind HTTP."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plugtron.contracts.parser import AnswerDelta
from plugtron.request.request import Message

__all__ = ["Context", "Figures", "Responder"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """Counts and times of a finished answer; None: unknown.

    Args:
        cached_tokens: of the prompt's, those that memory had already.
        first: seconds until the first token.
        rate: tokens a second after the first one.
        finish_reason: "stop", "length", ...
    """

    tokens: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    first: float | None
    rate: float | None
    finish_reason: str | None

    def line(self) -> str:
        """For reading."""
        parts = [
            None if self.tokens is None else f"{self.tokens} tokens",
            None if self.rate is None else f"{self.rate:.1f} tokens/s",
            None if self.first is None else f"first after {self.first:.2f} s",
            f"{self.cached_tokens} of {self.prompt_tokens} prompt tokens in memory" if self.cached_tokens else None,
            "cut off by its length" if self.finish_reason == "length" else None,
        ]
        return ", ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class Context:
    """How many tokens a conversation has, and may have where that is known."""

    tokens: int
    limit: int | None


class Responder(ABC):
    """Answers conversations.

    Attributes:
        model: what it is called.
    """

    model: str

    @abstractmethod
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """The parameters that may be set: JSON Schema by name; none where they are not known."""

    @abstractmethod
    def check(self, parameters: Mapping[str, Any]) -> None:
        """See whether an answer may have these parameters, as far as that can be known before.

        Raises:
            RequestError: it may not; with the reason.
        """

    @abstractmethod
    def answer(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> Iterator[AnswerDelta | Figures]:
        """Answer a conversation: what the answer is made of as it comes, and the figures at its end.

        Raises:
            RequestError: it cannot be answered so.
            EngineError: the answer failed on its way.
            KeyboardInterrupt: Ctrl-C was pressed; the answer has been ended.
        """

    @abstractmethod
    def context(self, messages: Sequence[Message]) -> Context:
        """Count the tokens of a conversation.

        Raises:
            RequestError: they cannot be counted.
            EngineError: the server cannot be reached.
        """
