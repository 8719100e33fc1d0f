"""MXFP4 in safetensors, as gpt-oss is published: under a tensor's name with `_blocks` and `_scales`.

Format: OCP Microscaling Formats 1.0. A number is one of sixteen, 4 bits, and 32 of a row share a power of 2. Blocks
[..., O, I / 32, 16] are bytes, of which the low half comes first; scales [..., O, I / 32] are exponents plus 127.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from plugtron.contracts.checkpoint import TensorInfo
from plugtron.quantization.weight import GROUP, QuantizedWeight

__all__ = ["MXFP4", "merged", "read_blocks", "read_part"]

#: The dtype of such tensors.
MXFP4 = "MXFP4"
_BLOCKS, _SCALES = "_blocks", "_scales"

#: Reads a part of what is stored under a name.
_Read = Callable[[str, tuple[slice, ...]], Tensor]


def merged(stored: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Tensors by name, those that belong together as the one that they are."""
    found = dict(stored)
    for name in [name.removesuffix(_BLOCKS) for name in stored if name.endswith(_BLOCKS)]:
        blocks, scales = stored[name + _BLOCKS], stored.get(name + _SCALES)
        if scales is not None and blocks.shape == (*scales.shape, GROUP // 2) and blocks.dtype == "U8":
            shape = (*scales.shape[:-1], scales.shape[-1] * GROUP)
            found[name] = TensorInfo(shape=shape, dtype=MXFP4, file=blocks.file)
            del found[name + _BLOCKS], found[name + _SCALES]
    return found


def read_part(name: str, info: TensorInfo, part: tuple[slice, ...], read: _Read) -> Tensor:
    """Some of a tensor in float32. `read` reads a part of what is stored."""
    *others, columns = _slices(info, part)
    start, stop, _ = columns.indices(info.shape[-1])
    first, last = start // GROUP, -(-stop // GROUP)
    blocks = _read_groups(name, (*others, slice(first, last)), read)
    counts = [len(range(*own.indices(size))) for own, size in zip(others, info.shape, strict=False)]
    return blocks.dense().view(*counts, -1)[..., start - first * GROUP : stop - first * GROUP]


def read_blocks(name: str, info: TensorInfo, part: tuple[slice, ...], read: _Read) -> QuantizedWeight | None:
    """The rows of some of a tensor, one after the other; None where columns are no whole groups."""
    *others, columns = _slices(info, part)
    start, stop, _ = columns.indices(info.shape[-1])
    if start % GROUP or stop % GROUP:
        return None
    return _read_groups(name, (*others, slice(start // GROUP, stop // GROUP)), read)


def _slices(info: TensorInfo, part: tuple[slice, ...]) -> tuple[slice, ...]:
    """A part with a slice for each axis."""
    return (*part, *[slice(None)] * (len(info.shape) - len(part)))


def _read_groups(name: str, groups: tuple[slice, ...], read: _Read) -> QuantizedWeight:
    blocks, scales = read(name + _BLOCKS, groups), read(name + _SCALES, groups)
    codes = torch.stack([blocks & 15, blocks >> 4], dim=-1)  # [..., groups, 16, 2]
    rows = scales.shape[:-1].numel()
    return QuantizedWeight(bits=4, values=codes.view(rows, -1), scales=scales.reshape(rows, -1), minimums=None)
