"""No run of tokens twice, as transformers' no_repeat_ngram_size and encoder_no_repeat_ngram_size."""

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
    """Masks the tokens that would complete a run of tokens that has been before, or that is in the prompt."""

    params = NoRepeatNgramParams

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._vocab_size = vocab_size
        self._sizes = SlotValues(_NEVER, device, torch.int64)
        self._prompt_sizes = SlotValues(_NEVER, device, torch.int64)
        self._prompt_lengths = SlotValues(0, device, torch.int64)
        self._of_prompts: set[int] = set()
        self._history = SuffixMatches(device)

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> NoRepeatNgram:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.wrapper.info.vocab_size, parts.runtime.device)

    def uses(self, params: SamplingParams) -> bool:
        """0 lets everything repeat."""
        asked = self.asked(params)
        return any(in_force(asked, name) for name in type(asked).model_fields)

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Begin with prompt and answer so far."""
        self._history.add(slot, sequence.all_tokens)
        asked = self.asked(sequence.request.params)
        self._sizes.set(slot, in_force(asked, "no_repeat_ngram_size") or _NEVER)
        size = in_force(asked, "encoder_no_repeat_ngram_size")
        self._prompt_sizes.set(slot, size or _NEVER)
        self._prompt_lengths.set(slot, len(sequence.request.prompt_tokens))
        if size:
            self._of_prompts.add(slot)

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._history.remove(slot)
        self._of_prompts.discard(slot)
        for values in (self._sizes, self._prompt_sizes, self._prompt_lengths):
            values.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage | None:
        """A history, and the matches from which on its tokens are masked; kernels know no runs of the prompt alone."""
        if not self._of_prompts.isdisjoint(slot_ids):
            return None
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
        slots = (candidates.slots, candidates.slot_ids)
        repeated = matches >= self._sizes.take(*slots) - 1
        if not self._of_prompts.isdisjoint(candidates.slot_ids):
            places = torch.arange(matches.shape[1], device=matches.device)
            of_prompt = (matches >= self._prompt_sizes.take(*slots) - 1) & (places < self._prompt_lengths.take(*slots))
            repeated |= of_prompt
        lost = torch.where(repeated, float("inf"), 0.0)
        return subtract_at(candidates, tokens, lost, self._vocab_size)

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Add the drawn tokens."""
        self._history.accept(slot_ids, tokens)
