"""Top-k sampling (arXiv:1805.04833)."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler
from plugtron.kernels import SamplingChoice
from plugtron.request import InferenceSequence, SamplingParams
from plugtron_samplers.params import TopKParams
from plugtron_samplers.ranking import keys, token_ids
from plugtron_samplers.slot_values import SlotValues

__all__ = ["TopK"]

_ALL = 1 << 40


class TopK(Sampler):
    """Keeps the `top_k` most likely candidates; among equals, the lower ids.

    Args:
        sampling: where kernels come from that sort nothing; None: they are not asked for.
    """

    params = TopKParams
    is_argmax_invariant = True
    keeps_row_stage = True

    def __init__(self, device: torch.device, sampling: SamplingChoice | None = None) -> None:
        self._sampling = sampling
        self._device_values = SlotValues(_ALL, device, torch.int64)
        self._values: dict[int, int] = {}

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> TopK:
        """Build from a spec."""
        del options
        return cls(parts.runtime.device, SamplingChoice(parts.runtime, parts.options))

    def uses(self, params: SamplingParams) -> bool:
        """0 and -1 keep all."""
        return (params.top_k or 0) > 0

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Remember k."""
        self._values[slot] = sequence.request.params.top_k or 0
        self._device_values.set(slot, self._values[slot])

    def remove(self, slot: int) -> None:
        """Forget it."""
        self._values.pop(slot, None)
        self._device_values.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """How many; infinitely many are all."""
        wanted = self._device_values.take(slots, slot_ids)
        return RowStage(op=RowOp.TOP_K, numbers=torch.where(wanted < _ALL, wanted.float(), math.inf))

    def apply(self, candidates: Candidates) -> Candidates:
        """Narrow to the largest k when every row has one; otherwise mask, so that the others keep all they have.

        Kernels always mask: a row's sums then have the same length whatever the others ask for.
        """
        kernels = None if self._sampling is None else self._sampling.kernels
        if kernels is not None and candidates.ids is None:
            limits = self._device_values.take(candidates.slots, candidates.slot_ids).float()
            return replace(candidates, logits=kernels.keep_most_likely(candidates.logits, limits, by_probability=False))
        asked = [self._values[slot] for slot in candidates.slot_ids if slot in self._values]
        if not asked:
            return candidates
        width = min(max(asked), candidates.logits.shape[1])
        ranked = keys(candidates)
        best, places = ranked.topk(width, dim=1)
        wanted = self._device_values.take(candidates.slots, candidates.slot_ids)
        if len(asked) == len(candidates.slot_ids):
            logits = candidates.logits.gather(1, places)
            ranks = torch.arange(width, device=logits.device).unsqueeze(0)
            ids = token_ids(candidates).expand(len(logits), -1).gather(1, places)
            return replace(candidates, logits=logits.masked_fill(ranks >= wanted, float("-inf")), ids=ids)
        last = best.gather(1, (wanted - 1).clamp(max=width - 1))
        dropped = (ranked < last) & (wanted <= width)
        return replace(candidates, logits=candidates.logits.masked_fill(dropped, float("-inf")))
