"""Dynamic temperature, as in llama.cpp."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from plugtron.contracts import Candidates, RowOp, RowStage
from plugtron.request import InferenceSequence, SamplingParams
from plugtron_samplers.adaptive_params import DynamicTemperatureParams
from plugtron_samplers.entropy import entropy_of
from plugtron_samplers.one_value import OneValue
from plugtron_samplers.slot_values import SlotValues, numbers_of
from plugtron_samplers.unset import in_force

__all__ = ["DynamicTemperature"]

#: As for a fixed temperature: below this everything but the most likely is out of reach.
_LEAST = 1e-6


class DynamicTemperature(OneValue):
    """Makes the temperature one between temperature - `dynatemp_range`, at least 0, and temperature + `dynatemp_range`.

    How far up is the entropy of the candidates, divided by the most that so many can have, to the power of
    `dynatemp_exponent`. What `temperature` will divide by is taken out here, so that both together come to it.
    """

    params = DynamicTemperatureParams
    is_argmax_invariant = True
    neutral = 0.0
    row_op = RowOp.DYNAMIC_TEMPERATURE

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._exponents = SlotValues(1.0, device)
        self._temperatures = SlotValues(1.0, device)

    @classmethod
    def value_of(cls, params: SamplingParams) -> float:
        """The range."""
        return float(in_force(cls.asked(params), "dynatemp_range"))

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Remember range, exponent and temperature."""
        super().add(slot, sequence)
        params = sequence.request.params
        self._exponents.set(slot, float(in_force(self.asked(params), "dynatemp_exponent")))
        self._temperatures.set(slot, 1.0 if params.temperature is None else max(params.temperature, _LEAST))

    def remove(self, slot: int) -> None:
        """Forget them."""
        super().remove(slot)
        self._exponents.clear(slot)
        self._temperatures.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """Range, exponent and temperature."""
        numbers = numbers_of(slots, slot_ids, self._values, self._exponents, self._temperatures)
        return RowStage(op=self.row_op, numbers=numbers)

    def apply(self, candidates: Candidates) -> Candidates:
        """Multiply by the fixed temperature, and divide by the dynamic one."""
        slots, slot_ids, logits = candidates.slots, candidates.slot_ids, candidates.logits
        spread, fixed = self.column(candidates), self._temperatures.take(slots, slot_ids)
        count = (logits > float("-inf")).sum(dim=1, keepdim=True)
        # One candidate has no entropy, and none to have at most.
        share = entropy_of(logits, logits.softmax(dim=1)) / count.clamp(min=2).log()
        share = share.clamp(0.0, 1.0) ** self._exponents.take(slots, slot_ids)
        lowest = (fixed - spread).clamp(min=0.0)
        temperature = (lowest + (fixed + spread - lowest) * share).clamp(min=_LEAST)
        # Rows without a range keep their bits, and rows without a candidate have no entropy.
        factor = torch.where((spread > 0) & (count > 0), fixed / temperature, 1.0)
        return replace(candidates, logits=logits * factor)
