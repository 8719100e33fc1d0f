"""Saying which plugin it is that everything waits for; one thread for all of them, or each would cost a start."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from plugtron.plugin.candidate import Candidate

__all__ = ["Watch", "said_when_slow"]

#: After how long a plugin's import is said to take long.
_SLOW_S = 5.0


class Watch:
    """Which plugin is being imported, and since when."""

    def __init__(self) -> None:
        self._current: tuple[Candidate, float] | None = None
        self._over = threading.Event()

    def begins(self, candidate: Candidate) -> None:
        """Note that this one's turn has come."""
        self._current = (candidate, time.monotonic())

    def end(self) -> None:
        """Say nothing any more."""
        self._over.set()

    def follow(self) -> None:
        """Say of each plugin that takes long that it does, once, until the end."""
        said = None
        while not self._over.wait(_SLOW_S / 4):
            current = self._current
            if current is None or current is said or time.monotonic() - current[1] < _SLOW_S:
                continue
            said, name = current, f"{current[0].name} ({current[0].distribution})"
            text = f"plugin {name} is being imported for {_SLOW_S:.0f} seconds already"
            print(text, file=sys.stderr, flush=True)  # noqa: T201 - from a thread


@contextmanager
def said_when_slow() -> Iterator[Watch]:
    """Watch the imports of a block."""
    watch = Watch()
    threading.Thread(target=watch.follow, daemon=True).start()
    try:
        yield watch
    finally:
        watch.end()
