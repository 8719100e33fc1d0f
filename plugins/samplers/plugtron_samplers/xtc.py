"""XTC, "exclude top choices" (llama.cpp, text-generation-webui)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from plugtron.contracts import Candidates, RowOp, RowStage
from plugtron.kernels import uniform
from plugtron.request import InferenceSequence, SamplingParams
from plugtron_samplers.one_value import OneValue
from plugtron_samplers.slot_values import SlotValues, numbers_of
from plugtron_samplers.truncation_params import XTCParams
from plugtron_samplers.unset import in_force

__all__ = ["XTC"]

#: Which of the numbers of a seed and a position decide here; the draw's own are others.
_STREAM = 1


class XTC(OneValue):
    """With `xtc_probability`, of the candidates that reach `xtc_threshold` only the least likely stays.

    Of equally likely ones all stay. Whether it happens follows from the sequence's seed and the position alone. It
    takes the most likely away, and greedy rows, which are promised it, do without this stage.
    """

    params = XTCParams
    neutral = 0.0
    row_op = RowOp.EXCLUDE_TOP

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._thresholds = SlotValues(2.0, device)  # above any probability
        self._seeds = SlotValues(0, device, torch.int64)

    @classmethod
    def value_of(cls, params: SamplingParams) -> float:
        """The probability; at 0 nothing is ever left out."""
        return cls.neutral if params.greedy else float(in_force(cls.asked(params), "xtc_probability"))

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Remember how often, from which probability on, and the seed."""
        super().add(slot, sequence)
        self._thresholds.set(slot, float(in_force(self.asked(sequence.request.params), "xtc_threshold")))
        self._seeds.set(slot, sequence.seed)

    def remove(self, slot: int) -> None:
        """Forget them."""
        super().remove(slot)
        self._thresholds.clear(slot)
        self._seeds.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """How often, and from which probability on; the seed is the row's."""
        return RowStage(op=self.row_op, numbers=numbers_of(slots, slot_ids, self._values, self._thresholds))

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask all top choices but the last, in the rows that it happens to."""
        logits, slots, slot_ids = candidates.logits, candidates.slots, candidates.slot_ids
        seeds = self._seeds.take(slots, slot_ids).squeeze(1)
        happens = uniform(seeds, candidates.positions, stream=_STREAM).unsqueeze(1) < self.column(candidates)
        top = (logits.softmax(dim=1) >= self._thresholds.take(slots, slot_ids)) & (logits > float("-inf"))
        last = logits.masked_fill(~top, float("inf")).amin(dim=1, keepdim=True)
        drop = happens & top & (logits > last)
        return replace(candidates, logits=logits.masked_fill(drop, float("-inf")))
