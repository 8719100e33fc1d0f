"""Drafts of a smaller model with the same vocabulary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import count

from plugtron.context import StaticInferenceContext, bytes_per_token
from plugtron.contracts import InferenceContext, ModelInfo, ModelWrapper, ScheduledSequence, StepPlan
from plugtron.errors import SpecError
from plugtron.request import InferenceSequence
from plugtron_controllers.speculative.drafter import Drafter, Wanted
from plugtron_controllers.speculative.draws import draw_drafts

__all__ = ["ModelDrafter"]


@dataclass(slots=True)
class _Written:
    """What memory has of a sequence: its first `length` tokens, then `draft`, which may have been rejected."""

    length: int = 0
    draft: list[int] = field(default_factory=list)


class ModelDrafter(Drafter):
    """Runs a model of its own over memory of its own: what it has missed, then a token at a time (`draw_drafts`).

    Args:
        model: the model that verifies the drafts.

    Raises:
        SpecError: the two have different vocabularies.
    """

    def __init__(self, wrapper: ModelWrapper, model: ModelInfo) -> None:
        if wrapper.info.vocab_size != model.vocab_size:
            raise SpecError(
                f"controller.options.draft_model: it has {wrapper.info.vocab_size} tokens, and the model "
                f"{model.vocab_size}: they must have the same"
            )
        self._wrapper = wrapper
        self._runtime = wrapper.runtime
        self._context: StaticInferenceContext | None = None
        self._written: dict[int, _Written] = {}
        self._steps = count()

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """Load the weights; memory for as many sequences is still to come."""
        known = self._wrapper.preload(rows, tokens, longest)
        return None if known is None else known + rows * longest * bytes_per_token(self._wrapper.info)

    def prepare(self, context: InferenceContext) -> None:
        """Load the weights, and make memory for as many sequences."""
        info = self._wrapper.info
        most = context.max_length if info.max_positions is None else min(context.max_length, info.max_positions)
        self._context = StaticInferenceContext(info, self._runtime, slots=context.slots, max_length=most)
        self._wrapper.prep_model_for_inference(self._context)

    def release_memory(self, *, weights: bool) -> None:
        """Let go of keys and values, and of the weights."""
        assert self._context is not None
        self._wrapper.release_memory(weights=weights)
        self._context.release_memory()
        self._written = {slot: _Written() for slot in self._written}

    def restore_memory(self) -> None:
        """Take memory again, and read the weights."""
        assert self._context is not None
        self._context.restore_memory()
        self._wrapper.prep_model_for_inference(self._context)

    def start(self, sequence: InferenceSequence) -> None:
        """Nothing of it is in memory yet."""
        assert sequence.slot is not None
        self._written[sequence.slot] = _Written()

    def end(self, slot: int) -> None:
        """Give its memory to the next."""
        assert self._context is not None
        if self._written.pop(slot, None) is not None:
            self._context.release(slot)

    def propose(self, wanted: list[Wanted]) -> Mapping[int, tuple[int, ...]]:
        """Draw up to `count` tokens for each."""
        assert self._context is not None
        room = self._context.max_length
        most = {each.sequence.slot: min(each.most, room - each.sequence.length) for each in wanted}
        sequences = {each.sequence.slot: each.sequence for each in wanted if most[each.sequence.slot] > 0}
        rows = [self._missing(sequence) for sequence in sequences.values()]
        drafts: dict[int, list[int]] = {row.slot: [] for row in rows}
        for at in count():
            rows = [row for row in rows if at < most[row.slot]]
            if not rows:
                break
            tokens = self._step(rows, [sequences[row.slot] for row in rows], at)
            for row, token in zip(rows, tokens, strict=True):
                drafts[row.slot].append(token)
            rows = [
                ScheduledSequence(row.slot, row.end, 1, room, (token,)) for row, token in zip(rows, tokens, strict=True)
            ]
        for slot, tokens in drafts.items():
            # The last draft token has not been computed.
            self._written[slot] = _Written(sequences[slot].length, tokens[:-1])
        return {slot: tuple(tokens) for slot, tokens in drafts.items()}

    def _missing(self, sequence: InferenceSequence) -> ScheduledSequence:
        """The tokens of a sequence that are not in memory, the last of which always is one of them."""
        assert self._context is not None
        assert sequence.slot is not None
        written, tokens = self._written[sequence.slot], sequence.all_tokens
        there = written.length
        for token in written.draft:
            if there + 1 >= len(tokens) or tokens[there] != token:
                break
            there += 1
        there = min(there, len(tokens) - 1)
        return ScheduledSequence(
            sequence.slot, there, len(tokens) - there, self._context.max_length, tuple(tokens[there:])
        )

    def _step(self, rows: list[ScheduledSequence], sequences: list[InferenceSequence], at: int) -> list[int]:
        """Compute rows and draw after each; every rank gets the tokens that one has drawn."""
        assert self._context is not None
        batch = self._wrapper.prep_inference_input(StepPlan(step=next(self._steps), rows=tuple(rows)), self._context)
        slots = tuple([row.slot for row in rows])
        logits = self._wrapper.run_one_forward_step(batch)
        return draw_drafts(logits, batch, self._wrapper.info, self._runtime, slots, sequences, at)
