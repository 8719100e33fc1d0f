"""What engines, controllers and wrappers know of KV memory. An engine makes its context; it is no plugin kind."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from plugtron.contracts.memory import AttentionMetadata, LayerState
from plugtron.contracts.step import StepPlan

__all__ = ["InferenceContext"]


class InferenceContext(ABC):
    """Memory for `slots` sequences of at most `max_length` tokens, in blocks of `block_size`; `layers` hold it.

    `clears`: memory that was used before is zeroed for its next owner. What lies behind a row's tokens may be NaN, and
    torch's attention reads it, masked, which leaves NaN; executions that read nothing but a row's own tokens say so.

    `last_tokens` [slots] int64 is where a draw leaves each slot's token and the next step finds it, on the device.
    """

    slots: int
    max_length: int
    block_size: int
    layers: tuple[LayerState, ...]
    last_tokens: Tensor
    clears: bool = True

    @abstractmethod
    def allocate(self, slot: int, length: int) -> bool:
        """Reserve memory for the first `length` tokens of a slot: all of it, or none and False."""

    @abstractmethod
    def release(self, slot: int, *, clear: bool = False) -> None:
        """Give back what a slot holds. `clear`: its request has failed: nothing is kept for prefix sharing."""

    @abstractmethod
    def view(self, plan: StepPlan) -> AttentionMetadata:
        """Describe a step to attention; its rows must have been allocated."""
