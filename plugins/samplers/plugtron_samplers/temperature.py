"""Temperature."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler
from plugtron.request import InferenceSequence, SamplingParams
from plugtron_samplers.params import TemperatureParams
from plugtron_samplers.slot_values import SlotValues, numbers_of

__all__ = ["Temperature"]


class Temperature(Sampler):
    """Divides logits by `temperature`. Greedy rows, temperature 0, do not come here."""

    params = TemperatureParams
    is_argmax_invariant = True
    keeps_row_stage = True

    def __init__(self, device: torch.device) -> None:
        self._values = SlotValues(1.0, device)

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> Temperature:
        """Build from a spec."""
        del options
        return cls(parts.runtime.device)

    def uses(self, params: SamplingParams) -> bool:
        """1 changes nothing."""
        return params.temperature not in (None, 1.0)

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Remember the temperature."""
        # Below this everything but the most likely token is out of reach anyway, and quotients would overflow.
        self._values.set(slot, max(sequence.request.params.temperature or 1.0, 1e-6))

    def remove(self, slot: int) -> None:
        """Forget it."""
        self._values.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """A division."""
        return RowStage(op=RowOp.DIVIDE, numbers=numbers_of(slots, slot_ids, self._values))

    def apply(self, candidates: Candidates) -> Candidates:
        """Divide; by 1 for rows that do not use it."""
        return replace(candidates, logits=candidates.logits / self._values.take(candidates.slots, candidates.slot_ids))
