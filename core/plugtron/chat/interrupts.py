"""Ctrl-C at a moment that suits: a step of an engine that is broken off leaves it in no state to go on."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupts_noted"]


@contextmanager
def interrupts_noted() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C has been pressed; nothing is raised. For the main thread."""
    noted = False

    def note(number: int, frame: FrameType | None) -> None:
        del number, frame
        nonlocal noted
        noted = True

    before = signal.signal(signal.SIGINT, note)
    try:
        yield lambda: noted
    finally:
        signal.signal(signal.SIGINT, before)
