"""Weights in the order in which the native kernels use them; linear.h says what that is."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import torch
import torch.nn.functional as F
from torch import Tensor

from plugtron.quantization.weight import GROUP, QuantizedWeight

__all__ = ["LANES", "WeightFormat", "format_of", "pack", "pack_dense"]

#: Outputs that are computed side by side.
LANES = 16
#: Rows that are packed at once, so that what is made on the way stays small.
_ROWS = 256 * LANES
_STEPS = 8


class WeightFormat(IntEnum):
    """The forms of a weight, numbered as in linear.h; those named WIDE have float32 scales."""

    INT4 = 0
    INT4_F32_SCALES = 1
    INT8 = 2
    INT8_F32_SCALES = 3  # with a minimum
    INT8_G16 = 4  # groups of 16
    MXFP4 = 5  # scales are powers of 2
    F32 = 6
    BF16 = 7  # bfloat16


def format_of(weight: QuantizedWeight) -> WeightFormat:
    """How the native kernels hold a quantized weight."""
    if weight.is_mxfp4:
        return WeightFormat.MXFP4
    wide = weight.scales.dtype == torch.float32
    if weight.bits == 4:
        return WeightFormat.INT4_F32_SCALES if wide else WeightFormat.INT4
    if weight.minimums is not None:
        return WeightFormat.INT8_F32_SCALES
    return WeightFormat.INT8_G16 if wide else WeightFormat.INT8


def pack(weight: QuantizedWeight) -> Iterator[Tensor]:
    """A quantized weight [O, I] as bytes, some rows at a time."""
    for start in range(0, len(weight.values), _ROWS):
        yield _pack_rows(weight.rows(slice(start, start + _ROWS)))


def pack_dense(weight: Tensor) -> Iterator[Tensor]:
    """A weight [O, I] in float32 or bfloat16 as bytes, some rows at a time."""
    # In float32 sixteen outputs of one input lie together, in bfloat16 sixteen of two.
    together = 1 if weight.dtype == torch.float32 else 2
    for rows in weight.split(_ROWS):
        padded = F.pad(rows, (0, -rows.shape[1] % LANES, 0, -len(rows) % LANES))
        ordered = padded.unflatten(0, (-1, LANES)).unflatten(2, (-1, together)).transpose(1, 2)
        yield ordered.contiguous().flatten().view(torch.uint8)


def _pack_rows(weight: QuantizedWeight) -> Tensor:
    outputs, inputs = weight.values.shape
    missing = -outputs % LANES
    groups = inputs // GROUP

    def blocks(tensor: Tensor) -> Tensor:
        padded = torch.cat([tensor, tensor.new_zeros(missing, tensor.shape[1])]) if missing else tensor
        return padded.unflatten(0, (-1, LANES))

    # Blocks, groups, steps, lanes, and the four inputs of each.
    values = blocks(weight.values).unflatten(2, (groups, _STEPS, 4)).permute(0, 2, 3, 1, 4).flatten(3)
    if weight.bits == 4:
        values = values[:, :, 0::2] | (values[:, :, 1::2] << 4)
    tails = [_bytes(blocks(tensor), groups) for tensor in (weight.scales, weight.minimums) if tensor is not None]
    return torch.cat([values.flatten(2), *tails], dim=2).flatten()


def _bytes(numbers: Tensor, groups: int) -> Tensor:
    """[blocks, lanes, n · groups] numbers as [blocks, groups, bytes]: of a group's n, each for all lanes."""
    split = numbers.unflatten(2, (groups, -1)).permute(0, 2, 3, 1)
    return split.contiguous().flatten(2).view(torch.uint8)
