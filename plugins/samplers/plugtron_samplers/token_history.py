"""The tokens of sequences so far, on the device, kept up with each token that is drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from plugtron.utils import transfer
from plugtron_samplers.slot_rows import SlotRows, grown

__all__ = ["NO_TOKEN", "TokenHistory"]

#: What stands behind the end of a history: no token's id.
NO_TOKEN = -1


class TokenHistory:
    """A row of tokens for each slot that was added. How long each is the host knows.

    Attributes:
        rows: which row is whose, for tables beside this one.
        tokens: [rows, L].
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._lengths: dict[int, int] = {}
        self.rows = SlotRows(device)
        self.tokens = torch.full((1, 1), NO_TOKEN, dtype=torch.int64, device=device)

    def add(self, slot: int, tokens: Sequence[int]) -> int:
        """Begin with what there is; return the slot's row."""
        row, length = self.rows.add(slot), len(tokens)
        self._make_room(length)
        self.tokens[row] = NO_TOKEN
        self.tokens[row, :length] = transfer(self._device, np.array(tokens, dtype=np.int64))[0]
        self._lengths[slot] = length
        return row

    def remove(self, slot: int) -> None:
        """Forget them."""
        self.rows.remove(slot)
        self._lengths.pop(slot, None)

    def longest(self, slot_ids: tuple[int, ...]) -> int:
        """How many tokens the longest of these has; a slot that was not added has none."""
        return max([self._lengths.get(slot, 0) for slot in slot_ids], default=0)

    def lengths(self, slot_ids: tuple[int, ...]) -> Tensor:
        """How many tokens these have, [N, 1]; 0 where a slot was not added."""
        counted = np.array([self._lengths.get(slot, 0) for slot in slot_ids], dtype=np.int64)
        return transfer(self._device, counted)[0].unsqueeze(1)

    def take(self, slots: Tensor, slot_ids: tuple[int, ...]) -> Tensor:
        """The tokens of these slots, [N, L], NO_TOKEN behind their ends."""
        return self.tokens[self.rows.take(slots, slot_ids), : self.longest(slot_ids)]

    def append(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Add a token [N] to each of these."""
        self._make_room(self.longest(slot_ids) + 1)
        self.tokens[self.rows.of(slot_ids), self.lengths(slot_ids).squeeze(1)] = tokens
        for slot in slot_ids:
            self._lengths[slot] += 1

    def _make_room(self, length: int) -> None:
        columns = self.tokens.shape[1]
        wanted = columns if columns >= length else length + length // 2
        self.tokens = grown(self.tokens, self.rows.count, wanted, NO_TOKEN)
