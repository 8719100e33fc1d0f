"""A gate that threads pass while it is open."""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ["Gate"]


class Gate:
    """Open at first; those who listen are told when it is opened again."""

    def __init__(self) -> None:
        self._open = threading.Event()
        self._open.set()
        self._listeners: list[Callable[[], None]] = []

    @property
    def is_open(self) -> bool:
        """Whether threads may pass."""
        return self._open.is_set()

    def close(self) -> None:
        """Let no thread pass."""
        self._open.clear()

    def open(self) -> None:
        """Let all pass, and tell those who listen."""
        self._open.set()
        for callback in list(self._listeners):
            callback()

    def wait(self) -> None:
        """Wait until it is open."""
        self._open.wait()

    def listen(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, by the thread that opens the gate."""
        self._listeners.append(callback)
