"""Locally typical sampling (arXiv:2202.00666)."""

from __future__ import annotations

from dataclasses import replace

from plugtron.contracts import Candidates, RowOp
from plugtron.request import SamplingParams
from plugtron_samplers.entropy import entropy_of
from plugtron_samplers.one_value import OneValue
from plugtron_samplers.truncation_params import TypicalPParams
from plugtron_samplers.unset import in_force

__all__ = ["TypicalP"]


class TypicalP(OneValue):
    """Keeps the candidates whose surprise is nearest to the entropy, until they have probability `typical_p`.

    Of candidates that are equally near to it all stay. The most likely need not be among them, and greedy rows, which
    are promised it, do without this stage.
    """

    params = TypicalPParams
    neutral = 1.0
    row_op = RowOp.TYPICAL_P

    @classmethod
    def value_of(cls, params: SamplingParams) -> float:
        """1 keeps all."""
        return cls.neutral if params.greedy else float(in_force(cls.asked(params), "typical_p"))

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask what is less typical."""
        wanted = self.column(candidates)
        logits = candidates.logits
        probabilities = logits.softmax(dim=1)
        # Masked candidates are infinitely far away, and therefore last.
        distances = (logits.log_softmax(dim=1) + entropy_of(logits, probabilities)).abs_()
        ordered, places = distances.sort(dim=1)
        reached = probabilities.gather(1, places).cumsum(dim=1) < wanted
        last = reached.sum(dim=1, keepdim=True).clamp(max=distances.shape[1] - 1)
        # Sums that should be 1 may be less: where all is wanted nothing is dropped.
        drop = (distances > ordered.gather(1, last)) & (wanted < self.neutral)
        return replace(candidates, logits=logits.masked_fill(drop, float("-inf")))
