"""min-p sampling (arXiv:2407.01082)."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler
from plugtron.request import InferenceSequence, SamplingParams
from plugtron_samplers.params import MinPParams
from plugtron_samplers.slot_values import SlotValues, numbers_of

__all__ = ["MinP"]


class MinP(Sampler):
    """Masks what is less than `min_p` times as likely as the most likely candidate."""

    params = MinPParams
    is_argmax_invariant = True
    keeps_row_stage = True

    def __init__(self, device: torch.device) -> None:
        # Kept as logarithms: a ratio of probabilities is a difference of logits.
        self._values = SlotValues(-math.inf, device)

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> MinP:
        """Build from a spec."""
        del options
        return cls(parts.runtime.device)

    def uses(self, params: SamplingParams) -> bool:
        """0 keeps all."""
        return bool(params.min_p)

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Remember the threshold."""
        self._values.set(slot, math.log(sequence.request.params.min_p or 1.0))

    def remove(self, slot: int) -> None:
        """Forget it."""
        self._values.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """A bound below the greatest logit."""
        return RowStage(op=RowOp.MIN_P, numbers=numbers_of(slots, slot_ids, self._values))

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask what lies too far below the maximum."""
        below = self._values.take(candidates.slots, candidates.slot_ids)
        threshold = candidates.logits.amax(dim=1, keepdim=True) + below
        return replace(candidates, logits=candidates.logits.masked_fill(candidates.logits < threshold, float("-inf")))
