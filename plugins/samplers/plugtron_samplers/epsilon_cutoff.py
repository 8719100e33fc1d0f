"""Epsilon sampling (arXiv:2210.15191)."""

from __future__ import annotations

from dataclasses import replace

from plugtron.contracts import Candidates, RowOp
from plugtron.request import SamplingParams
from plugtron_samplers.one_value import OneValue
from plugtron_samplers.truncation_params import EpsilonCutoffParams
from plugtron_samplers.unset import in_force

__all__ = ["EpsilonCutoff"]


class EpsilonCutoff(OneValue):
    """Keeps what has at least probability `epsilon_cutoff`, and the most likely."""

    params = EpsilonCutoffParams
    is_argmax_invariant = True
    neutral = 0.0
    row_op = RowOp.EPSILON_CUTOFF

    @classmethod
    def value_of(cls, params: SamplingParams) -> float:
        """0 keeps all."""
        return float(in_force(cls.asked(params), "epsilon_cutoff"))

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask what is less likely."""
        logits = candidates.logits
        unlikely = logits.softmax(dim=1) < self.column(candidates)
        drop = unlikely & (logits < logits.amax(dim=1, keepdim=True))
        return replace(candidates, logits=logits.masked_fill(drop, float("-inf")))
