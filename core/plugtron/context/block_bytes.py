"""A block of all layers as bytes, for what keeps it elsewhere: layer by layer its keys, its values, their scales."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from plugtron.contracts.memory import LayerState

__all__ = ["get_block", "set_block"]


def get_block(layers: Sequence[LayerState], block: int) -> Tensor:
    """Copy a block to host memory, as uint8."""
    return torch.cat([part.flatten() for part in _parts(layers, block)]).cpu()


def set_block(layers: Sequence[LayerState], block: int, content: Tensor) -> None:
    """Write to a block what `get_block` has given."""
    parts = _parts(layers, block)
    contents = content.to(parts[0].device).split([part.numel() for part in parts])
    for part, stored in zip(parts, contents, strict=True):
        part.copy_(stored.view(part.shape))


def _parts(layers: Sequence[LayerState], block: int) -> list[Tensor]:
    return [cache[block].view(torch.uint8) for state in layers for cache in state.parts]
