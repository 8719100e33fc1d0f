"""MXFP4 in safetensors, as gpt-oss is published: under a tensor's name with `_blocks` and `_scales`.

Format: OCP Microscaling Formats 1.0. A number is one of sixteen, 4 bits, and 32 of a row share a power of 2. Blocks
[..., O, I / 32, 16] are bytes, of which the low half comes first; scales [..., O, I / 32] are exponents plus 127.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from plugtron.contracts.checkpoint import TensorInfo

__all__ = ["MXFP4", "merged", "read_part"]

#: The dtype of such tensors.
MXFP4 = "MXFP4"
_BLOCKS, _SCALES = "_blocks", "_scales"
_GROUP = 32
_NUMBERS = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0])


def merged(stored: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Tensors by name, those that belong together as the one that they are."""
    found = dict(stored)
    for name in [name.removesuffix(_BLOCKS) for name in stored if name.endswith(_BLOCKS)]:
        blocks, scales = stored[name + _BLOCKS], stored.get(name + _SCALES)
        if scales is not None and blocks.shape == (*scales.shape, _GROUP // 2) and blocks.dtype == "U8":
            shape = (*scales.shape[:-1], scales.shape[-1] * _GROUP)
            found[name] = TensorInfo(shape=shape, dtype=MXFP4, file=blocks.file)
            del found[name + _BLOCKS], found[name + _SCALES]
    return found


def read_part(
    name: str, info: TensorInfo, part: tuple[slice, ...], read: Callable[[str, tuple[slice, ...]], Tensor]
) -> Tensor:
    """Some of a tensor in float32. `read` reads a part of what is stored."""
    *others, columns = (*part, *[slice(None)] * (len(info.shape) - len(part)))
    start, stop, _ = columns.indices(info.shape[-1])
    first, last = start // _GROUP, -(-stop // _GROUP)
    groups = (*others, slice(first, last))
    blocks, scales = read(name + _BLOCKS, groups), read(name + _SCALES, groups)
    codes = torch.stack([blocks & 15, blocks >> 4], dim=-1).flatten(-2)  # [..., groups, 32]
    numbers = torch.cat([_NUMBERS, -_NUMBERS])[codes.int()]
    numbers = torch.ldexp(numbers, scales.int().unsqueeze(-1) - 127).flatten(-2)
    return numbers[..., start - first * _GROUP : stop - first * _GROUP]
