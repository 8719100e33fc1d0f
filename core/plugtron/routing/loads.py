"""How many requests each replica has open, as a router counts them, and who has the fewest."""

from __future__ import annotations

from collections import OrderedDict

__all__ = ["Loads"]


class Loads:
    """Counts from 0 for each of `count` replicas that are there; all in constant time."""

    def __init__(self, count: int) -> None:
        self._open = [0] * count
        self._total = 0
        self._there = count
        # The replicas of each count; first the one whose count has changed longest ago.
        self._with: list[OrderedDict[int, None]] = [OrderedDict.fromkeys(range(count))]
        self._least = 0

    def __getitem__(self, replica: int) -> int:
        return self._open[replica]

    @property
    def mean(self) -> float:
        """Open requests of a replica, on average."""
        return self._total / self._there

    @property
    def least(self) -> int:
        """A replica with the fewest open requests: of several the one that has waited longest."""
        return next(iter(self._with[self._least]))

    def change(self, replica: int, by: int) -> None:
        """Count a request more (1) or less (-1)."""
        before = self._open[replica]
        now = self._open[replica] = before + by
        self._total += by
        if now == len(self._with):
            self._with.append(OrderedDict())
        del self._with[before][replica]
        self._with[now][replica] = None
        if now < self._least or not self._with[self._least]:
            self._least = now

    def leave(self, replica: int) -> None:
        """Leave out a replica, which has no open requests."""
        assert self._open[replica] == 0
        del self._with[0][replica]
        self._there -= 1
        self._least = next((count for count, replicas in enumerate(self._with) if replicas), 0)

    def join(self, replica: int) -> None:
        """Count a replica again that has been left out."""
        self._with[0][replica] = None
        self._there += 1
        self._least = 0
