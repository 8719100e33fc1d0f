"""Top-n-sigma sampling (arXiv:2411.07641)."""

from __future__ import annotations

import math
from dataclasses import replace

from plugtron.contracts import Candidates, RowOp
from plugtron.request import SamplingParams
from plugtron_samplers.one_value import OneValue
from plugtron_samplers.truncation_params import TopNSigmaParams
from plugtron_samplers.unset import in_force

__all__ = ["TopNSigma"]


class TopNSigma(OneValue):
    """Keeps the logits within `top_n_sigma` standard deviations of the greatest.

    The deviation is that of all candidates that are left, divided by their number, as in llama.cpp. What is kept does
    not depend on the temperature.
    """

    params = TopNSigmaParams
    is_argmax_invariant = True
    neutral = math.inf
    row_op = RowOp.TOP_N_SIGMA

    @classmethod
    def value_of(cls, params: SamplingParams) -> float:
        """0 and below keep all."""
        asked = float(in_force(cls.asked(params), "top_n_sigma"))
        return asked if asked > 0 else cls.neutral

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask what lies too far below the maximum."""
        logits = candidates.logits
        masked, greatest = logits == -math.inf, logits.amax(dim=1, keepdim=True)
        count = logits.shape[1] - masked.sum(dim=1, keepdim=True)
        # How far below the greatest: the masked ones count as none.
        below = (logits - greatest).masked_fill_(masked, 0.0)
        mean = below.sum(dim=1, keepdim=True) / count
        squares = below.sub_(mean).masked_fill_(masked, 0.0).square_().sum(dim=1, keepdim=True)
        bound = greatest - self.column(candidates) * (squares / count).sqrt()
        # Where all are equal, or all is wanted, the bound may be no number: then nothing lies below it.
        return replace(candidates, logits=logits.masked_fill(logits < bound, -math.inf))
