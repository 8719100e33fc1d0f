"""Lists of token ids, of any length, as one table for kernels."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plugtron_samplers.token_history import NO_TOKEN

__all__ = ["id_table", "owners"]


def id_table(lists: Sequence[Tensor], fill: float = NO_TOKEN) -> Tensor:
    """Return tensors [L] of any lengths as the rows of one, filled up behind their ends; at least one."""
    width = max((len(each) for each in lists), default=1) or 1
    dtype = lists[0].dtype if lists else torch.int64
    table = torch.full((max(1, len(lists)), width), fill, dtype=dtype)
    for row, each in enumerate(lists):
        table[row, : len(each)] = each
    return table


def owners(lists: Sequence[object | None]) -> Tensor:
    """Which row of a table of those that are not None is whose, [N] int64; -1: it has none."""
    found, row = [], -1
    for each in lists:
        row += each is not None
        found.append(-1 if each is None else row)
    return torch.tensor(found, dtype=torch.int64)
