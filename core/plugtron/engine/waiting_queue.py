"""The queue of sequences that wait for a slot: by priority, then by arrival."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from plugtron.request.request import InferenceSequence, PriorityKey

__all__ = ["WaitingQueue"]


class WaitingQueue:
    """Sequences in order of rank. Adding, taking the first and dropping any are all O(log n) or better."""

    def __init__(self) -> None:
        self._sequences: dict[PriorityKey, InferenceSequence] = {}
        # What has been dropped stays in the heap until it comes to the top.
        self._heap: list[PriorityKey] = []

    def __len__(self) -> int:
        return len(self._sequences)

    def add(self, sequences: Iterable[InferenceSequence]) -> None:
        """Have sequences wait."""
        for sequence in sequences:
            self._sequences[sequence.priority_key] = sequence
            heapq.heappush(self._heap, sequence.priority_key)

    @property
    def first(self) -> InferenceSequence:
        """Whose turn it is; somebody must be waiting."""
        while self._heap[0] not in self._sequences:
            heapq.heappop(self._heap)
        return self._sequences[self._heap[0]]

    def take(self) -> InferenceSequence:
        """Remove the first and return it."""
        first = self.first
        del self._sequences[heapq.heappop(self._heap)]
        return first

    def drop(self, sequences: Iterable[InferenceSequence]) -> None:
        """Remove these, as far as they wait."""
        for sequence in sequences:
            self._sequences.pop(sequence.priority_key, None)
