"""Where the end of a sequence has been before: what tokens would continue, and how long a repetition.

Kept on the device, and brought up to date with each token that is drawn: one pass over a history, no wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from plugtron.utils import transfer
from plugtron_samplers.slot_rows import grown
from plugtron_samplers.token_history import TokenHistory

__all__ = ["SuffixMatches"]


class SuffixMatches:
    """The tokens of sequences so far, and for each how many tokens before it are the same as the last ones.

    Attributes:
        rows: which row is whose, for tables beside these.
        matches: [rows, L] int64.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._history = TokenHistory(device)
        self.rows = self._history.rows
        self.matches = torch.zeros(1, 1, dtype=torch.int64, device=device)

    @property
    def tokens(self) -> Tensor:
        """The tokens of all rows, [rows, L], NO_TOKEN behind their ends."""
        return self._history.tokens

    def add(self, slot: int, tokens: Sequence[int], breaks: Callable[[int], bool] | None = None) -> int:
        """Begin with what there is, and return the slot's row; no repetition goes over a token that breaks it."""
        row = self._history.add(slot, tokens)
        self._make_room()
        (matches,) = transfer(self._device, np.array(_matches(tokens, breaks), dtype=np.int64))
        self.matches[row] = 0
        self.matches[row, : len(tokens)] = matches
        return row

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._history.remove(slot)

    def take(self, slots: Tensor, slot_ids: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Tokens [N, L], NO_TOKEN behind their ends, and matches [N, L]; none where a slot was not added."""
        tokens = self._history.take(slots, slot_ids)
        return tokens, self.matches[self.rows.take(slots, slot_ids), : tokens.shape[1]]

    def lengths(self, slot_ids: tuple[int, ...]) -> Tensor:
        """How many tokens these have, [N, 1]; 0 where a slot was not added."""
        return self._history.lengths(slot_ids)

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor, breaks: Tensor | None = None) -> None:
        """Add a token [N] to each of these sequences; `breaks` [N] says which of them no repetition goes over."""
        width, rows = self._history.longest(slot_ids), self.rows.of(slot_ids)
        same = self._history.tokens[rows, :width] == tokens.unsqueeze(1)
        if breaks is not None:
            same &= ~breaks.unsqueeze(1)
        # What stands behind a token that is the same has one token more before it that is.
        longer = torch.where(same, self.matches[rows, :width] + 1, 0)
        self._history.append(slot_ids, tokens)
        self._make_room()
        self.matches[rows, : width + 1] = torch.nn.functional.pad(longer, (1, 0))

    def _make_room(self) -> None:
        self.matches = grown(self.matches, *self._history.tokens.shape)


def _matches(tokens: Sequence[int], breaks: Callable[[int], bool] | None) -> list[int]:
    """For each place, how many tokens before it are the same as the last ones (Gusfield's Z function, from behind)."""
    backwards, length = list(reversed(tokens)), len(tokens)
    most = length
    if breaks is not None:
        most = next((count for count, token in enumerate(backwards) if breaks(token)), length)
    found, left, right = [0] * length, 0, 0
    for place in range(1, length):
        same = min(right - place, found[place - left]) if place < right else 0
        while place + same < length and backwards[same] == backwards[place + same]:
            same += 1
        found[place] = same
        if place + same > right:
            left, right = place, place + same
    # The place behind the last `place` tokens is the one that they would be counted from.
    return [min(found[length - place], most) if place else 0 for place in range(length)]
