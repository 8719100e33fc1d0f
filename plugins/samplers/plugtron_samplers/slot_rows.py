"""Rows of tables on the device, one for each slot that has one."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from plugtron.utils import transfer
from plugtron_samplers.slot_values import SlotValues

__all__ = ["SlotRows", "grown"]


class SlotRows:
    """Says which row is whose. Row 0 is nobody's: slots without a row are led there, so that they are no case apart.

    `count` is how many rows a table must have.
    """

    def __init__(self, device: torch.device) -> None:
        self.count = 1
        self._device = device
        self._row_of: dict[int, int] = {}
        self._free: list[int] = []
        self._values = SlotValues(0, device, torch.int64)

    def add(self, slot: int) -> int:
        """Give a slot a row, which may hold what a slot before it has left there."""
        if not self._free:
            # By half as many again: a copy of the tables for each new row would be one for each sequence.
            more = max(1, self.count // 2)
            self._free += range(self.count, self.count + more)
            self.count += more
        row = self._row_of[slot] = self._free.pop()
        self._values.set(slot, row)
        return row

    def remove(self, slot: int) -> None:
        """Take its row back."""
        row = self._row_of.pop(slot, None)
        if row is not None:
            self._free.append(row)
            self._values.clear(slot)

    def take(self, slots: Tensor, slot_ids: tuple[int, ...]) -> Tensor:
        """The rows of these slots, [N] int64; 0 for those that have none."""
        return self._values.take(slots, slot_ids).squeeze(1)

    def owned(self, slots: Tensor, slot_ids: tuple[int, ...]) -> Tensor:
        """The rows of these slots, [N] int64; -1 for those that have none, as a `RowStage` has them."""
        rows = self.take(slots, slot_ids)
        return torch.where(rows > 0, rows, -1)

    def of(self, slot_ids: tuple[int, ...]) -> Tensor:
        """The rows of slots that have one, [N] int64, where only the host knows the slots."""
        return transfer(self._device, np.array([self._row_of[slot] for slot in slot_ids], dtype=np.int64))[0]


def grown(table: Tensor, rows: int, columns: int | None = None, fill: float = 0) -> Tensor:
    """Return the table, or where it has fewer rows or columns a larger copy, filled up."""
    columns = table.shape[1] if columns is None else max(columns, table.shape[1])
    if len(table) >= rows and table.shape[1] == columns:
        return table
    larger = table.new_full((max(rows, len(table)), columns), fill)
    larger[: len(table), : table.shape[1]] = table
    return larger
