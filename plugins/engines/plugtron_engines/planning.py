"""What the dynamic engine does next: which sequences compute how many tokens in a step, and who has to give way."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from plugtron.context.paged import PagedInferenceContext
from plugtron.contracts.step import Row
from plugtron.request import InferenceSequence

__all__ = ["Planner", "rank"]


def rank(sequence: InferenceSequence) -> tuple[int, int, int]:
    """Who comes first: by priority, then by arrival, then by number within the request."""
    request = sequence.request
    assert request.id is not None
    return -request.priority, request.id, sequence.index


class Planner:
    """Fills a step with rows: what continues goes before what begins, in rank order, within memory and token budget.

    A sequence that finds no memory takes it from the last in rank, which is computed again later; it keeps its slot,
    so that nothing but its memory is lost.

    Args:
        budget: tokens per step.
    """

    def __init__(self, context: PagedInferenceContext, budget: int) -> None:
        self._context = context
        self._budget = budget
        self.preempted: set[int] = set()

    def plan(
        self, active: Iterable[InferenceSequence], admit: Callable[[], InferenceSequence | None], most: int
    ) -> list[Row]:
        """Return the rows of a step: at most `most` of them.

        Args:
            active: the sequences that have slots and are in no step.
            admit: takes the next waiting sequence up, or returns None when there is none, or no slot.
        """
        rows: list[Row] = []
        left = self._budget
        order = sorted(active, key=rank)
        victims = list(order)
        for sequence in order:
            if len(rows) == most or left == 0:
                break
            if sequence not in victims:
                continue  # it has just given way
            row = self._row(sequence, left, victims, rows)
            if row is not None:
                rows.append(row)
                left -= row.count
        while len(rows) < most and left > 0 and not self.preempted and (sequence := admit()) is not None:
            row = self._row(sequence, left, [], rows)
            if row is None:
                self._give_way(sequence)
                break
            rows.append(row)
            left -= row.count
        return rows

    def _row(
        self, sequence: InferenceSequence, left: int, victims: list[InferenceSequence], rows: list[Row]
    ) -> Row | None:
        """What a sequence computes next, with memory for it; None when there is none to be had."""
        assert sequence.slot is not None
        slot, length = sequence.slot, sequence.length
        if slot in self.preempted:
            sequence.computed = self._context.attach(slot, sequence.all_tokens)
        count = min(length - sequence.computed, left)
        while not self._context.allocate(slot, sequence.computed + count):
            victim = victims[-1] if victims else None
            if victim is None or victim is sequence or any(row.slot == victim.slot for row in rows):
                if slot in self.preempted:
                    self._context.release(slot)
                elif victim is sequence:
                    self._give_way(sequence)
                return None
            self._give_way(victims.pop())
        self.preempted.discard(slot)
        end = sequence.computed + count
        # The token drawn last is on the device already; whatever else there is to compute is named.
        on_device = count == 1 and end == length and bool(sequence.tokens)
        named = () if on_device else tuple(sequence.all_tokens[sequence.computed : end])
        return Row(slot=slot, start=sequence.computed, tokens=named, room=end, wants_logits=int(end == length))

    def _give_way(self, sequence: InferenceSequence) -> None:
        assert sequence.slot is not None
        if sequence.slot not in self.preempted:
            self._context.release(sequence.slot)
            self.preempted.add(sequence.slot)
            sequence.computed = 0
