"""The pools that requests pass through: waiting, active, completed."""

from __future__ import annotations

from collections import deque

from plugtron.request import InferenceRequest, InferenceSequence

__all__ = ["Scheduler"]


class Scheduler:
    """Keeps sequences in order of arrival and hands out slots. Which to admit when is the engine's policy.

    Args:
        slots: how many sequences may be active at once.
    """

    def __init__(self, slots: int) -> None:
        self.waiting: deque[InferenceSequence] = deque()
        self.active: dict[int, InferenceSequence] = {}
        self.completed: list[InferenceRequest] = []
        # Lowest first, so that a fresh batch fills neighbouring slots and its memory is one view.
        self._free = list(range(slots - 1, -1, -1))

    @property
    def has_unfinished(self) -> bool:
        """Whether anything waits or runs."""
        return bool(self.waiting or self.active)

    @property
    def has_room(self) -> bool:
        """Whether a slot is free."""
        return bool(self._free)

    def add(self, request: InferenceRequest) -> None:
        """Put the sequences of a request at the end of the queue."""
        self.waiting.extend(request.sequences)

    def admit(self, sequence: InferenceSequence | None = None) -> InferenceSequence:
        """Move a waiting sequence, by default the first, to a free slot."""
        if sequence is None:
            sequence = self.waiting.popleft()
        else:
            self.waiting.remove(sequence)
        sequence.slot = self._free.pop()
        self.active[sequence.slot] = sequence
        return sequence

    def retire(self, sequence: InferenceSequence) -> None:
        """Free the slot of a sequence that has ended."""
        assert sequence.slot is not None
        del self.active[sequence.slot]
        self._free.append(sequence.slot)
        self._free.sort(reverse=True)
        sequence.slot = None

    def drop(self, request: InferenceRequest) -> None:
        """Take the waiting sequences of a request out of the queue."""
        self.waiting = deque(sequence for sequence in self.waiting if sequence.request is not request)

    def complete(self, request: InferenceRequest) -> None:
        """Note that a request is over; the next step reports it."""
        self.completed.append(request)

    def take_completed(self) -> list[InferenceRequest]:
        """Empty the pool of completed requests."""
        taken, self.completed = self.completed, []
        return taken
