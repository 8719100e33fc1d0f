"""A conversation: its messages and sampling parameters; saved to and loaded from a JSON file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from plugtron.errors import RequestError
from plugtron.request.chat_options import message_problem
from plugtron.request.request import Message
from plugtron.utils.json_file import read_mapping

__all__ = ["Conversation"]

_FIELDS = ("model", "messages", "parameters")


@dataclass(slots=True)
class Conversation:
    """Messages, and the parameters that are set for the answers to come."""

    messages: list[Message] = field(default_factory=list)
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def system(self) -> str | None:
        """The text of the system message; None where there is none."""
        first = self.messages[0] if self.messages else {}
        return first.get("content") if first.get("role") == "system" else None

    def set_system(self, text: str | None) -> None:
        """Set the system message, or remove it."""
        own = [] if text is None else [{"role": "system", "content": text}]
        self.messages = [*own, *(self.messages if self.system is None else self.messages[1:])]

    def ask(self, text: str) -> None:
        """Add what the user says."""
        self.messages.append({"role": "user", "content": text})

    def take_back_question(self) -> None:
        """Remove what the user said last, and all that came after it.

        Raises:
            RequestError: nothing has been said.
        """
        del self.messages[self._last_question() :]

    def take_back_answer(self) -> None:
        """Remove all that came after what the user said last.

        Raises:
            RequestError: nothing has been said.
        """
        del self.messages[self._last_question() + 1 :]

    def clear(self) -> None:
        """Forget what was said; the system message and the parameters stay."""
        self.messages = self.messages[: self.system is not None]

    def save(self, file: Path, model: str) -> None:
        """Write a file.

        Raises:
            RequestError: it cannot be written.
        """
        data = dict(zip(_FIELDS, (model, self.messages, self.parameters), strict=True))
        try:
            # Halves of surrogate pairs, which JSON can hold and UTF-8 cannot, are written as escapes.
            file.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise RequestError(f"{file} cannot be written: {error.strerror}") from None

    @classmethod
    def load(cls, file: Path) -> Self:
        """Read a file that `save` has written.

        Raises:
            RequestError: it cannot be read, or holds no conversation.
        """
        try:
            values = read_mapping(file, RequestError)
        except OSError as error:
            raise RequestError(f"{file} cannot be read: {error.strerror}") from None
        unknown = [name for name in values if name not in _FIELDS]
        if unknown:
            raise RequestError(f"{file}: {unknown[0]} is no part of a conversation (accepted: {', '.join(_FIELDS)})")
        messages, parameters = values.get("messages"), values.get("parameters", {})
        if not isinstance(messages, list):
            raise RequestError(f"{file}: messages must be a list of messages")
        if not isinstance(parameters, Mapping):
            raise RequestError(f"{file}: parameters must be a mapping of sampling parameters")
        for number, message in enumerate(messages):
            if problem := message_problem(message):
                raise RequestError(f"{file}: messages.{number}: {problem}")
        return cls(messages, dict(parameters))

    def _last_question(self) -> int:
        """Where what the user said last is."""
        for place in reversed(range(len(self.messages))):
            if self.messages[place]["role"] == "user":
                return place
        raise RequestError("nothing has been said so far")
