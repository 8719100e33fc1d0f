"""A number per slot, on the device: what a stage of the chain looks up for the rows of a step."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["SlotValues", "numbers_of"]


class SlotValues:
    """Values by slot, `neutral` where none was set. Grows with the slots it sees."""

    def __init__(self, neutral: float, device: torch.device, dtype: torch.dtype = torch.float32) -> None:
        self._neutral = neutral
        self._values = torch.full((0,), neutral, dtype=dtype, device=device)

    def set(self, slot: int, value: float) -> None:
        """Set the value of a slot."""
        self.reserve(slot)
        self._values[slot] = value

    def put(self, slots: Tensor, values: Tensor) -> None:
        """Set the values of slots, [N] each, where both are on the device and the slots have been set before."""
        self._values[slots] = values

    def clear(self, slot: int) -> None:
        """Make a slot neutral again."""
        self._values[slot] = self._neutral

    def reserve(self, slot: int) -> None:
        """Make room for a slot without setting it."""
        missing = slot + 1 - len(self._values)
        if missing > 0:
            self._values = torch.cat((self._values, self._values.new_full((missing,), self._neutral)))

    def take(self, slots: Tensor, rows: tuple[int, ...]) -> Tensor:
        """The values of these slots, as a column [N, 1]. `rows` are the slots as the host knows them."""
        self.reserve(max(rows, default=-1))
        return self._values[slots].unsqueeze(1)


def numbers_of(slots: Tensor, slot_ids: tuple[int, ...], *values: SlotValues) -> Tensor:
    """Several values of these slots beside each other, [N, P] float32, as a `RowStage` has them."""
    return torch.cat([each.take(slots, slot_ids).float() for each in values], dim=1)
