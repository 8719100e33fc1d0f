"""How much to guess for a sequence: more while guesses are right, none for a while when they are not."""

from __future__ import annotations

__all__ = ["Pace"]

_FIRST = 3
#: How long the longest pause is, in tokens of the sequence.
_LONGEST_PAUSE = 64


class Pace:
    """Grows the guess after one that was right as a whole, cuts it to what was right, and pauses after those that were
    all wrong, each time twice as long. It goes by counts alone, so that ranks agree.

    Args:
        most: tokens of a guess at the most.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = min(_FIRST, most)
        self._pause = 1
        self._next = 0

    def count(self, length: int) -> int:
        """How many tokens may be guessed for an answer of `length` tokens; 0: it does not pay at the moment."""
        return self._count if length >= self._next else 0

    def note(self, guessed: int, right: int, length: int) -> None:
        """Learn what became of a guess; the answer has `length` tokens now."""
        if right == 0:
            self._count = 1
            self._next = length + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return
        self._pause = 1
        self._count = min(2 * guessed + 1, self._most) if right == guessed else max(right, 1)
