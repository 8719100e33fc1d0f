"""A lock that threads get in the order in which they asked for it."""

from __future__ import annotations

import threading
from collections import deque
from typing import Self

__all__ = ["TurnLock"]


class TurnLock:
    """A fair lock, which its owner may enter again.

    threading.Lock often goes straight back to the thread that let go of it: one that steps an engine in a loop would
    keep all others from adding their requests.
    """

    def __init__(self) -> None:
        self._state = threading.Lock()
        self._owner: int | None = None
        self._depth = 0
        self._waiting: deque[tuple[int, threading.Lock]] = deque()

    def __enter__(self) -> Self:
        me = threading.get_ident()
        with self._state:
            if self._owner in (None, me):
                self._owner, self._depth = me, self._depth + 1
                return self
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append((me, turn))
        try:
            turn.acquire()  # until the owner before us lets go
        except BaseException:  # an interrupt; the turn may have come meanwhile
            with self._state:
                mine = (me, turn)
                if mine in self._waiting:
                    self._waiting.remove(mine)
                else:
                    self._hand_over()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        with self._state:
            self._depth -= 1
            if self._depth == 0:
                self._hand_over()

    def _hand_over(self) -> None:
        """Make the next in line the owner; `_state` is held."""
        if not self._waiting:
            self._owner = None
            return
        self._owner, turn = self._waiting.popleft()
        self._depth = 1
        turn.release()
