"""Nucleus sampling (arXiv:1904.09751)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler
from plugtron.kernels import SamplingChoice
from plugtron.request import InferenceSequence, SamplingParams
from plugtron_samplers.params import TopPParams
from plugtron_samplers.ranking import keys
from plugtron_samplers.slot_values import SlotValues, numbers_of

__all__ = ["TopP"]


class TopP(Sampler):
    """Keeps the fewest most likely candidates that together have at least probability `top_p`.

    Args:
        sampling: where kernels come from that sort nothing; None: they are not asked for.
    """

    params = TopPParams
    is_argmax_invariant = True
    keeps_row_stage = True

    def __init__(self, device: torch.device, sampling: SamplingChoice | None = None) -> None:
        self._sampling = sampling
        self._values = SlotValues(2.0, device)  # above any sum, so that rounding never drops a neutral row's tail

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> TopP:
        """Build from a spec."""
        del options
        return cls(parts.runtime.device, SamplingChoice(parts.runtime, parts.options))

    def uses(self, params: SamplingParams) -> bool:
        """1 keeps all."""
        return params.top_p not in (None, 1.0)

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Remember p."""
        self._values.set(slot, sequence.request.params.top_p or 1.0)

    def remove(self, slot: int) -> None:
        """Forget it."""
        self._values.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """The probability."""
        return RowStage(op=RowOp.TOP_P, numbers=numbers_of(slots, slot_ids, self._values))

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask what lies beyond the nucleus."""
        wanted = self._values.take(candidates.slots, candidates.slot_ids)
        kernels = None if self._sampling is None else self._sampling.kernels
        if kernels is not None and candidates.ids is None:
            return replace(candidates, logits=kernels.keep_most_likely(candidates.logits, wanted, by_probability=True))
        places = keys(candidates).argsort(dim=1, descending=True)
        sorted_probabilities = candidates.logits.softmax(dim=1).gather(1, places)
        before = sorted_probabilities.cumsum(dim=1) - sorted_probabilities
        # The most likely stays, however small p is.
        beyond = _unsort((before >= wanted) & (before > 0), places)
        return replace(candidates, logits=candidates.logits.masked_fill(beyond, float("-inf")))


def _unsort(flags: Tensor, places: Tensor) -> Tensor:
    """Put flags that were found in sorted order back where the candidates are."""
    return torch.empty_like(flags).scatter_(1, places, flags)
