"""No run of tokens twice, as transformers' no_repeat_ngram_size."""

from __future__ import annotations

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler
from plugtron.request import InferenceSequence, SamplingParams
from plugtron_samplers.at_tokens import subtract_at
from plugtron_samplers.repetition_params import NoRepeatNgramParams
from plugtron_samplers.slot_values import SlotValues, numbers_of
from plugtron_samplers.suffix_matches import SuffixMatches
from plugtron_samplers.unset import in_force

__all__ = ["NoRepeatNgram"]

#: Longer than any sequence.
_NEVER = 1 << 40


class NoRepeatNgram(Sampler):
    """Masks the tokens that would complete a run of `no_repeat_ngram_size` tokens that has been before."""

    params = NoRepeatNgramParams

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._vocab_size = vocab_size
        self._sizes = SlotValues(_NEVER, device, torch.int64)
        self._history = SuffixMatches(device)

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> NoRepeatNgram:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.wrapper.info.vocab_size, parts.runtime.device)

    def uses(self, params: SamplingParams) -> bool:
        """0 lets everything repeat."""
        return bool(in_force(self.asked(params), "no_repeat_ngram_size"))

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Begin with prompt and answer so far."""
        self._history.add(slot, sequence.all_tokens)
        self._sizes.set(slot, in_force(self.asked(sequence.request.params), "no_repeat_ngram_size"))

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._history.remove(slot)
        self._sizes.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """A history, and the matches from which on its tokens are masked."""
        return RowStage(
            op=RowOp.MASK_REPEATED,
            numbers=numbers_of(slots, slot_ids, self._sizes) - 1,
            rows=self._history.rows.owned(slots, slot_ids),
            ids=self._history.tokens,
            values=self._history.matches,
        )

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask what would come again."""
        tokens, matches = self._history.take(candidates.slots, candidates.slot_ids)
        sizes = self._sizes.take(candidates.slots, candidates.slot_ids)
        lost = torch.where(matches >= sizes - 1, float("inf"), 0.0)
        return subtract_at(candidates, tokens, lost, self._vocab_size)

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Add the drawn tokens."""
        self._history.accept(slot_ids, tokens)
