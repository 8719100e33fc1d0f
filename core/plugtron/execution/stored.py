"""Weights that are read in the blocks in which a checkpoint holds them."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plugtron.contracts.execution import StoredBlocks
from plugtron.quantization.weight import QuantizedWeight

__all__ = ["dense_blocks", "expert_blocks"]


def expert_blocks(blocks: StoredBlocks, weights: nn.Parameter) -> list[tuple[QuantizedWeight, ...]]:
    """The blocks of weights [E, O, I]: for each expert those of its rows; none where it has been read as numbers."""
    stored = blocks.get(weights, ())
    each = len(stored) // len(weights)
    return [stored[first : first + each] for first in range(0, len(stored), each or 1)]


def dense_blocks(blocks: StoredBlocks, parameter: nn.Parameter) -> Tensor:
    """What a parameter stands for, as float32 where it was read in blocks."""
    stored = blocks.get(parameter)
    return parameter.detach() if stored is None else torch.cat([own.dense() for own in stored]).view(parameter.shape)
