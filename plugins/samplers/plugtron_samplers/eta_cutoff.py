"""Eta sampling (arXiv:2210.15191)."""

from __future__ import annotations

from dataclasses import replace

import torch

from plugtron.contracts import Candidates, RowOp
from plugtron.request import SamplingParams
from plugtron_samplers.entropy import entropy_of
from plugtron_samplers.one_value import OneValue
from plugtron_samplers.truncation_params import EtaCutoffParams
from plugtron_samplers.unset import in_force

__all__ = ["EtaCutoff"]


class EtaCutoff(OneValue):
    """Keeps what has at least probability min(eta, sqrt(eta) * exp(-entropy)), and the most likely."""

    params = EtaCutoffParams
    is_argmax_invariant = True
    neutral = 0.0
    row_op = RowOp.ETA_CUTOFF

    @classmethod
    def value_of(cls, params: SamplingParams) -> float:
        """0 keeps all."""
        return float(in_force(cls.asked(params), "eta_cutoff"))

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask what is less likely."""
        logits, asked = candidates.logits, self.column(candidates)
        probabilities = logits.softmax(dim=1)
        least = torch.minimum(asked, asked.sqrt() * (-entropy_of(logits, probabilities)).exp())
        drop = (probabilities < least) & (logits < logits.amax(dim=1, keepdim=True))
        return replace(candidates, logits=logits.masked_fill(drop, float("-inf")))
