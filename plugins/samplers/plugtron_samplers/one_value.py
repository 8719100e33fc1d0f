"""Stages that go by one number for each sequence."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Self

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler
from plugtron.request import InferenceSequence, SamplingParams
from plugtron_samplers.slot_values import SlotValues, numbers_of

__all__ = ["OneValue"]


class OneValue(Sampler):
    """A stage that is used where its number is not the `neutral` one, which changes nothing."""

    neutral: ClassVar[float]
    keeps_row_stage = True
    row_op: ClassVar[RowOp]

    def __init__(self, device: torch.device) -> None:
        self._values = SlotValues(self.neutral, device)

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> Self:
        """Build from a spec."""
        del options
        return cls(parts.runtime.device)

    @classmethod
    @abstractmethod
    def value_of(cls, params: SamplingParams) -> float:
        """The number of a request."""

    def uses(self, params: SamplingParams) -> bool:
        """Whether the number changes anything."""
        return self.value_of(params) != self.neutral

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Remember the number."""
        self._values.set(slot, self.value_of(sequence.request.params))

    def remove(self, slot: int) -> None:
        """Forget it."""
        self._values.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """The stage's operation, by its number."""
        return RowStage(op=self.row_op, numbers=numbers_of(slots, slot_ids, self._values))

    def column(self, candidates: Candidates) -> Tensor:
        """The numbers of the rows, [N, 1]."""
        return self._values.take(candidates.slots, candidates.slot_ids)
