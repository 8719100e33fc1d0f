"""How long the next draft of a sequence is: longer while drafts are accepted, none for a while after rejections."""

from __future__ import annotations

__all__ = ["Pace"]

#: The first draft.
_FIRST = 3
#: How long the longest pause is, in tokens of the sequence.
_LONGEST_PAUSE = 64


class Pace:
    """Doubles the length after a draft that was accepted as a whole, cuts it to the number of tokens that were
    accepted, and pauses after one that was rejected as a whole, each time twice as long. It goes by counts alone, so
    that ranks agree.

    Args:
        most: the longest draft.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = min(_FIRST, most)
        self._pause = 1
        self._next = 0

    def count(self, length: int) -> int:
        """The length of the next draft, for an answer of `length` tokens; 0 during a pause."""
        return self._count if length >= self._next else 0

    def note(self, drafted: int, accepted: int, length: int) -> None:
        """Learn how much of a draft was accepted; the answer has `length` tokens now."""
        if accepted == 0:
            self._count = 1
            self._next = length + self._pause
            self._pause = min(2 * self._pause, _LONGEST_PAUSE)
            return
        self._pause = 1
        self._count = min(2 * drafted + 1, self._most) if accepted == drafted else accepted
