"""The pools that requests pass through: waiting, active, completed."""

from __future__ import annotations

import heapq
import time

from plugtron.engine.waiting_queue import WaitingQueue
from plugtron.request.request import InferenceRequest, InferenceSequence

__all__ = ["Scheduler"]


class Scheduler:
    """Keeps sequences in order of priority and arrival, and hands out slots. When to admit is the engine's policy.

    Args:
        slots: how many sequences may be active at once.
    """

    def __init__(self, slots: int) -> None:
        self.waiting = WaitingQueue()
        self.active: dict[int, InferenceSequence] = {}
        self.completed: list[InferenceRequest] = []
        # A heap, lowest first, so that a fresh batch fills neighboring slots and its memory is one view.
        self._free = list(range(slots))

    @property
    def has_unfinished(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self.waiting or self.active)

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return bool(self._free)

    def add(self, request: InferenceRequest) -> None:
        """Have the sequences of a request wait."""
        self.waiting.add(request.sequences)

    def admit(self) -> InferenceSequence:
        """Move the first of the waiting sequences to a free slot."""
        sequence = self.waiting.take()
        sequence.slot = heapq.heappop(self._free)
        self.active[sequence.slot] = sequence
        if sequence.request.started is None:
            sequence.request.started = time.perf_counter()
        return sequence

    def retire(self, sequence: InferenceSequence) -> None:
        """Free the slot of a sequence that has ended."""
        assert sequence.slot is not None
        del self.active[sequence.slot]
        heapq.heappush(self._free, sequence.slot)
        sequence.slot = None

    def drop(self, request: InferenceRequest) -> None:
        """Take the waiting sequences of a request out of the queue."""
        self.waiting.drop(request.sequences)

    def complete(self, request: InferenceRequest) -> None:
        """Note that a request is over; the next step reports it."""
        self.completed.append(request)

    def take_completed(self) -> list[InferenceRequest]:
        """Empty the pool of completed requests."""
        taken, self.completed = self.completed, []
        return taken
