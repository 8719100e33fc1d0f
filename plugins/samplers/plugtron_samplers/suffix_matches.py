"""Where the end of a sequence has been before: what tokens would continue, and how long a repetition.

Kept on the device, and brought up to date with each token that is drawn: one pass over a history, no wait.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from plugtron.utils import transfer
from plugtron_samplers.slot_rows import SlotRows, grown

__all__ = ["SuffixMatches"]

#: No token's id.
_NONE = -1


class SuffixMatches:
    """The tokens of sequences so far, and for each how many tokens before it are the same as the last ones."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._rows = SlotRows(device)
        self._lengths: dict[int, int] = {}
        self._tokens = torch.full((1, 1), _NONE, dtype=torch.int64, device=device)
        self._matches = torch.zeros(1, 1, dtype=torch.int64, device=device)

    def add(self, slot: int, tokens: Sequence[int], breaks: Callable[[int], bool] | None = None) -> None:
        """Begin with what there is; no repetition goes over a token that breaks it."""
        row, length = self._rows.add(slot), len(tokens)
        self._make_room(length)
        history, matches = transfer(
            self._device, np.array(tokens, dtype=np.int64), np.array(_matches(tokens, breaks), dtype=np.int64)
        )
        self._tokens[row], self._matches[row] = _NONE, 0
        self._tokens[row, :length], self._matches[row, :length] = history, matches
        self._lengths[slot] = length

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._rows.remove(slot)
        self._lengths.pop(slot, None)

    def take(self, slots: Tensor, slot_ids: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Tokens [N, L], -1 behind their end, and matches [N, L], of the rows; none where a slot was not added."""
        width = max((self._lengths.get(slot, 0) for slot in slot_ids), default=0)
        rows = self._rows.take(slots, slot_ids)
        return self._tokens[rows, :width], self._matches[rows, :width]

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor, breaks: Tensor | None = None) -> None:
        """Add a token [N] to each of these sequences; `breaks` [N] says which of them no repetition goes over."""
        lengths = [self._lengths[slot] for slot in slot_ids]
        width = max(lengths)
        self._make_room(width + 1)
        rows, ends = self._rows.of(slot_ids), transfer(self._device, np.array(lengths, dtype=np.int64))[0]
        same = self._tokens[rows, :width] == tokens.unsqueeze(1)
        if breaks is not None:
            same &= ~breaks.unsqueeze(1)
        # What stands behind a token that is the same has one token more before it that is.
        longer = torch.where(same, self._matches[rows, :width] + 1, 0)
        self._matches[rows, : width + 1] = torch.nn.functional.pad(longer, (1, 0))
        self._tokens[rows, ends] = tokens
        for slot in slot_ids:
            self._lengths[slot] += 1

    def lengths(self, slot_ids: tuple[int, ...]) -> Tensor:
        """How many tokens these sequences have, [N, 1]; 0 where a slot was not added."""
        counted = np.array([[self._lengths.get(slot, 0)] for slot in slot_ids], dtype=np.int64).reshape(-1, 1)
        return transfer(self._device, counted)[0]

    def _make_room(self, length: int) -> None:
        columns = self._tokens.shape[1]
        wanted = columns if columns >= length else length + length // 2
        self._tokens = grown(self._tokens, self._rows.count, wanted, _NONE)
        self._matches = grown(self._matches, self._rows.count, wanted)


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
