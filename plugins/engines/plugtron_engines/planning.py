"""What the dynamic engine does next: which sequences compute how many tokens in a step, and who has to give way."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from operator import attrgetter

from plugtron.context import PagedInferenceContext
from plugtron.contracts import ScheduledSequence, TextGenerationController
from plugtron.engine import EngineMetrics, logits_per_step
from plugtron.request import InferenceSequence

__all__ = ["Planner"]

_PRIORITY = attrgetter("priority_key")


class Planner:
    """Fills a step with rows: what continues goes before what begins, in rank order, within memory and token budget.

    A sequence that finds no memory takes it from the last in rank, which is computed again later; it keeps its slot,
    so that nothing but its memory is lost.

    Args:
        controller: says which positions want logits, and proposes draft tokens.
        budget: tokens per step.
    """

    def __init__(
        self,
        context: PagedInferenceContext,
        controller: TextGenerationController,
        budget: int,
        account: EngineMetrics,
    ) -> None:
        self._context = context
        self._controller = controller
        self._most_logits = logits_per_step(context.slots)
        self._budget = budget
        self._account = account
        self.preempted: set[int] = set()

    def plan(
        self, active: Iterable[InferenceSequence], admit: Callable[[], InferenceSequence | None], most: int
    ) -> list[ScheduledSequence]:
        """Return the rows of a step: at most `most` of them.

        Args:
            active: the sequences that have slots and are in no step.
            admit: takes the next waiting sequence up, or returns None when there is none, or no slot.
        """
        rows: list[ScheduledSequence] = []
        left = self._budget
        order = sorted(active, key=_PRIORITY)
        drafts = self._drafts(order)
        at = 0
        while at < len(order) and len(rows) < most and left > 0:
            row = self._row(order[at], left, drafts)
            if row is not None:
                rows.append(row)
                left -= row.num_new
                at += 1
            # The last in rank gives way to it, as long as that can help; else it does so itself.
            elif self._context.could_hold(self._end(order[at], left), [entry.slot for entry in order[at:]]):
                self._give_way(order.pop())
            else:
                self._give_way(order.pop(at))
        while len(rows) < most and left > 0 and not self.preempted and (sequence := admit()) is not None:
            row = self._row(sequence, left, {})
            if row is None:
                self._give_way(sequence)
                break
            rows.append(row)
            left -= row.num_new
        return rows

    def plan_ahead(self, step: Iterable[ScheduledSequence], slots: Container[int]) -> list[ScheduledSequence] | None:
        """Return the rows of the step after one whose tokens are not known yet: those of `slots`, a token further.

        Returns:
            None where there is no memory for all of them; then none is reserved.
        """
        rows = [ScheduledSequence(row.slot, row.end, 1, row.end + 1) for row in step if row.slot in slots]
        if sum(row.num_computed % self._context.block_size == 0 for row in rows) > self._context.pool.available:
            return None
        for row in rows:
            reserved = self._context.allocate(row.slot, row.end)
            assert reserved, "there is a block for each that begins one"
        return rows

    def _drafts(self, order: Iterable[InferenceSequence]) -> Mapping[int, tuple[int, ...]]:
        """The drafts of sequences whose last token is to be computed next."""
        if type(self._controller).draft is TextGenerationController.draft:
            return {}
        there = [each for each in order if each.slot not in self.preempted]
        return self._controller.draft([each for each in there if each.tokens and each.computed + 1 == each.length])

    def _row(
        self, sequence: InferenceSequence, left: int, drafts: Mapping[int, tuple[int, ...]]
    ) -> ScheduledSequence | None:
        """What a sequence computes next, with memory for it; None when there is none to be had."""
        slot, computed, tokens = sequence.slot, sequence.computed, sequence.tokens
        assert slot is not None
        length = len(sequence.request.prompt_tokens) + len(tokens)
        # The token drawn last is on the device already; whatever else there is to compute is named.
        if computed + 1 == length and tokens and slot not in self.preempted:
            draft = drafts.get(slot, ())[: left - 1]
            if draft and self._context.allocate(slot, length + len(draft)):
                return ScheduledSequence(slot, computed, 1, length).with_draft(tokens[-1], draft)
            # Inside a block there is room.
            there = computed % self._context.block_size or self._context.allocate(slot, length)
            return ScheduledSequence(slot, computed, 1, length) if there else None
        return self._chunk(sequence, slot, length, left)

    def _chunk(self, sequence: InferenceSequence, slot: int, length: int, left: int) -> ScheduledSequence | None:
        """The next tokens of a prompt, or of all that a preempted sequence has to compute again."""
        everything, first = sequence.all_tokens, self._controller.first_logit(sequence)
        if slot in self.preempted:
            salt = sequence.request.cache_salt.encode()
            sequence.computed = self._context.attach(slot, everything[: first + 1], salt)
        start, end = sequence.computed, min(sequence.computed + left, length)
        if first + 1 < length:
            end = min(end, max(start, first) + self._most_logits)
        if not self._context.allocate(slot, end):
            if slot in self.preempted:
                self._context.release(slot)
                sequence.computed = 0
            return None
        self.preempted.discard(slot)
        named = tuple(everything[start:end])
        return ScheduledSequence(slot, start, end - start, end, named, num_logits=max(0, end - max(start, first)))

    def preempt(self, sequences: Iterable[InferenceSequence]) -> None:
        """Take their memory from sequences that are in no step."""
        for sequence in list(sequences):
            self._give_way(sequence)

    def forget(self, slot: int) -> bool:
        """Forget a slot whose sequence has ended; say whether it had given its memory away."""
        if slot not in self.preempted:
            return False
        self.preempted.discard(slot)
        return True

    @staticmethod
    def _end(sequence: InferenceSequence, left: int) -> int:
        """How many of its tokens are in memory once it has had its turn."""
        return min(sequence.computed + left, sequence.length)

    def _give_way(self, sequence: InferenceSequence) -> None:
        assert sequence.slot is not None
        if sequence.slot not in self.preempted:
            self._context.release(sequence.slot)
            self.preempted.add(sequence.slot)
            sequence.computed = 0
            self._account.preempted(sequence)
