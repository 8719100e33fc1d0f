"""Reading GGUF tensors: only the blocks that a part needs, dequantized by the `gguf` library."""

from __future__ import annotations

from pathlib import Path

import gguf.quants
import numpy as np
import torch
from gguf.constants import GGMLQuantizationType

from plugtron.contracts.checkpoint import TensorInfo

__all__ = ["map_blocks", "own_copy", "read_numbers"]

_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


def map_blocks(path: Path, offset: int, info: TensorInfo, elements: int, bytes_per_block: int) -> np.ndarray:
    """The tensor whose blocks begin at `offset` as bytes [..., blocks, bytes of a block], mapped and not yet read."""
    *rows, width = info.shape
    return np.memmap(path, dtype=np.uint8, mode="r", offset=offset, shape=(*rows, width // elements, bytes_per_block))


def own_copy(blocks: np.ndarray) -> torch.Tensor:
    """Read what was mapped: the map is read-only, and torch wants to own its memory."""
    return torch.from_numpy(np.array(blocks))


def read_numbers(
    path: Path, offset: int, info: TensorInfo, elements: int, bytes_per_block: int, part: tuple[slice, ...]
) -> torch.Tensor:
    """Return `part` of the tensor whose blocks begin at `offset`. Its last axis is made of whole blocks."""
    *rows, width = info.shape
    shape = [len(range(*wanted.indices(size))) for wanted, size in zip(part, info.shape, strict=False)]
    if 0 in shape:
        return torch.empty([*shape, *info.shape[len(shape) :]], dtype=_PLAIN.get(info.dtype, torch.float32))
    blocks = map_blocks(path, offset, info, elements, bytes_per_block)
    outer, inner = part[: len(rows)], part[len(rows) : len(rows) + 1]
    chosen, rest = _whole_blocks(inner[0] if inner else slice(None), width, elements)
    # One copy, of the selected bytes alone; the map behind it is read-only and torch wants to own its memory.
    needed = np.array(blocks[(*outer, *[slice(None)] * (len(rows) - len(outer)), chosen)])
    flat = needed.reshape(*needed.shape[:-2], -1)
    return _dequantize(flat, info.dtype)[..., rest]


def _whole_blocks(wanted: slice, width: int, elements: int) -> tuple[slice, slice]:
    """Widen a slice of elements to whole blocks; return it, and what to keep of the elements in them."""
    start, stop, _ = wanted.indices(width)
    first, last = start // elements, -(-stop // elements)
    return slice(first, last), slice(start - first * elements, stop - first * elements)


def _dequantize(data: np.ndarray, dtype: str) -> torch.Tensor:
    """Turn rows of block bytes into rows of numbers."""
    if dtype in _PLAIN:
        return torch.from_numpy(data).view(_PLAIN[dtype])
    return torch.from_numpy(gguf.quants.dequantize(data, GGMLQuantizationType[dtype]))
