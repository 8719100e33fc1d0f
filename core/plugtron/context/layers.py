"""The memory of a model's layers."""

from __future__ import annotations

import torch

from plugtron.context.memory_size import check_memory
from plugtron.contracts.decoder import ModelInfo
from plugtron.contracts.memory import LayerState
from plugtron.parallel.runtime import Runtime
from plugtron.parallel.zeros import zeros

__all__ = ["allocate_kv_cache"]


def allocate_kv_cache(
    info: ModelInfo, runtime: Runtime, *, blocks: int, block_size: int, remedy: str, scattered: bool = False
) -> tuple[LayerState, ...]:
    """Make the memory of this rank's layers: `blocks` blocks each, of `block_size` tokens.

    Args:
        scattered: blocks are long, and most of each may stay empty.

    Raises:
        SpecError: there is not as much memory; with the numbers and the `remedy`.
    """
    device = runtime.device
    check_memory(info, tokens=blocks * block_size, device=device, remedy=remedy)
    return tuple(
        LayerState(
            keys=zeros(shape, state.dtype, device, scattered=scattered),
            values=zeros(shape, state.dtype, device, scattered=scattered),
            window=state.window,
            chunk=state.chunk,
            key_scales=zeros(shape[:3], torch.float32, device, scattered=scattered) if state.has_scales else None,
            value_scales=zeros(shape[:3], torch.float32, device, scattered=scattered) if state.has_scales else None,
        )
        for state in info.states
        for shape in [(blocks, state.kv_heads, block_size, state.head_dim)]
    )
