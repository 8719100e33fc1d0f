"""Where answers and notes go: a terminal that somebody reads, or standard output for a script."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import click

from plugtron.contracts.parser import AnswerDelta, ArgumentsDelta, CallBegun, ContentDelta, ReasoningDelta

__all__ = ["PlainScreen", "Screen", "TerminalScreen"]

Write = Callable[[str], None]
_DIM, _RED, _PLAIN = "\x1b[2m", "\x1b[31m", "\x1b[0m"
#: What a model writes must not steer the terminal: control characters become pictures of themselves.
_PICTURES = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\n\t"},
    127: "\u2421",
    **dict.fromkeys(range(128, 160), "�"),
}


class Screen(ABC):
    """Shows a conversation.

    Args:
        write: writes text at once.
    """

    def __init__(self, write: Write) -> None:
        self._write = write

    @abstractmethod
    def show(self, delta: AnswerDelta) -> None:
        """Show what is added to an answer."""

    @abstractmethod
    def end(self, figures: str) -> None:
        """End an answer; `figures` is empty where there are none."""

    @abstractmethod
    def note(self, text: str) -> None:
        """Say what has been done; a script need not hear of it."""

    @abstractmethod
    def error(self, text: str) -> None:
        """Say what is wrong."""

    def say(self, text: str) -> None:
        """Show what was asked for."""
        self._write(f"{text}\n")


class TerminalScreen(Screen):
    """Reasoning, figures and notes are dim."""

    def __init__(self, write: Write) -> None:
        super().__init__(write)
        self._reasons = False
        self._at_start = True

    def show(self, delta: AnswerDelta) -> None:
        """Write it; reasoning and answer begin on lines of their own."""
        reasons = isinstance(delta, ReasoningDelta)
        text = _text(delta).translate(_PICTURES)
        if reasons != self._reasons:
            text = _DIM + text if reasons else f"{_PLAIN}{self._new_line()}{text.lstrip(chr(10))}"
            self._reasons = reasons
        if text:
            self._write(text)
            self._at_start = text.endswith("\n")

    def end(self, figures: str) -> None:
        """Write the figures below the answer."""
        self._write(f"{_PLAIN}{self._new_line()}")
        self._reasons, self._at_start = False, True
        if figures:
            self.note(figures)
        self._write("\n")

    def note(self, text: str) -> None:
        """Write a dim line."""
        self._write(f"{_DIM}{text.translate(_PICTURES)}{_PLAIN}\n")

    def error(self, text: str) -> None:
        """Write a red line."""
        self._write(f"{_RED}{text.translate(_PICTURES)}{_PLAIN}\n")

    def say(self, text: str) -> None:
        """Write it."""
        super().say(text.translate(_PICTURES))

    def _new_line(self) -> str:
        return "" if self._at_start else "\n"


class PlainScreen(Screen):
    """Answers, and nothing else, are written; errors go to standard error, and so do figures where they are wanted."""

    def __init__(self, write: Write, *, stats: bool) -> None:
        super().__init__(write)
        self._stats = stats

    def show(self, delta: AnswerDelta) -> None:
        """Write it, unless it is reasoning."""
        if not isinstance(delta, ReasoningDelta):
            self._write(_text(delta))

    def end(self, figures: str) -> None:
        """End the answer's line."""
        self._write("\n")
        if figures and self._stats:
            click.echo(figures, err=True)

    def note(self, text: str) -> None:
        """Keep silent."""
        del text

    def error(self, text: str) -> None:
        """Write to standard error."""
        click.echo(text, err=True)


def _text(delta: AnswerDelta) -> str:
    match delta:
        case CallBegun(_, name, _):
            return f"\ncall of {name}: "
        case ContentDelta(text) | ReasoningDelta(text) | ArgumentsDelta(_, text):
            return text
