"""Weights that are read in the blocks in which a checkpoint holds them."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from plugtron.contracts.execution import StoredBlocks
from plugtron.quantization.weight import QuantizedWeight

__all__ = ["dense_blocks", "dense_stretches", "expert_blocks"]

#: So many numbers are made of blocks at once.
_STRETCH = 2**22


def expert_blocks(blocks: StoredBlocks, weights: nn.Parameter) -> list[tuple[QuantizedWeight, ...]]:
    """The blocks of weights [E, O, I]: for each expert those of its rows; none where it has been read as numbers."""
    stored = blocks.get(weights, ())
    each = len(stored) // len(weights)
    return [stored[first : first + each] for first in range(0, len(stored), each or 1)]


def dense_blocks(blocks: StoredBlocks, parameter: nn.Parameter) -> Tensor:
    """What a parameter stands for, as float32 where it was read in blocks."""
    stored = blocks.get(parameter)
    return parameter.detach() if stored is None else torch.cat([own.dense() for own in stored]).view(parameter.shape)


def dense_stretches(blocks: StoredBlocks, parameter: nn.Parameter) -> Iterator[Tensor]:
    """What a parameter stands for, some rows at a time."""
    rows = max(1, _STRETCH // max(1, parameter[:1].numel()))
    if parameter not in blocks:
        yield from parameter.detach().split(rows)
        return
    left = len(parameter)
    for own in blocks[parameter]:
        for start in range(0, len(own.values), rows):
            yield own.rows(slice(start, start + rows)).dense()
        left -= len(own.values)
    yield parameter.detach()[len(parameter) - left :]  # rows that no tensor fills are 0
