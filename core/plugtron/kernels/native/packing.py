"""Weights in the order in which the native kernels use them; linear.h says what that is."""

from __future__ import annotations

from collections.abc import Iterator
from enum import IntEnum

import torch
import torch.nn.functional as F
from torch import Tensor

from plugtron.errors import PluginError
from plugtron.quantization.weight import GROUP, QuantizedWeight
from plugtron.utils.bytewise import every_byte, words_of

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
    INT5 = 6
    INT5_MINIMUM = 7
    INT4_CODES = 8  # scales and minimums are codes of 8 bits, times a factor for 256 inputs
    INT5_CODES = 9
    INT6_CODES = 10  # groups of 16, without a minimum
    F32 = 11
    BF16 = 12  # bfloat16


#: By bits, whether there is a minimum, whether scales are wide or codes, and how many inputs are a group.
_FORMATS = {
    (4, True, "half", 32): WeightFormat.INT4,
    (4, True, "wide", 32): WeightFormat.INT4_F32_SCALES,
    (4, True, "codes", 32): WeightFormat.INT4_CODES,
    (5, False, "half", 32): WeightFormat.INT5,
    (5, True, "half", 32): WeightFormat.INT5_MINIMUM,
    (5, True, "codes", 32): WeightFormat.INT5_CODES,
    (6, False, "codes", 16): WeightFormat.INT6_CODES,
    (8, False, "half", 32): WeightFormat.INT8,
    (8, True, "wide", 32): WeightFormat.INT8_F32_SCALES,
    (8, False, "wide", 16): WeightFormat.INT8_G16,
}


def format_of(weight: QuantizedWeight) -> WeightFormat:
    """How the native kernels hold a quantized weight.

    Raises:
        PluginError: there is no form for it.
    """
    if weight.is_mxfp4:
        return WeightFormat.MXFP4
    wide = "wide" if weight.scales.dtype == torch.float32 else "half"
    group = weight.values.shape[1] // weight.scales.shape[1]
    numbers = "codes" if weight.codes else wide
    form = _FORMATS.get((weight.bits, weight.minimums is not None, numbers, group))
    if form is None:
        low = "with" if weight.minimums is not None else "without"
        raise PluginError(
            f"quantized weights: {weight.bits} bits in groups of {group} {low} minimums, scales in "
            f"{weight.scales.dtype}, have no form in the native kernels"
        )
    return form


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
    values = words_of(weight.values)
    if weight.bits in (5, 6) and weight.minimums is None:
        values = values - every_byte(128 - 2 ** (weight.bits - 1))  # the numbers from 0 that a file has
    fours = blocks(values.view(torch.int32)).unflatten(2, (groups, _STEPS))
    values = fours.permute(0, 2, 3, 1).contiguous().view(torch.int64)
    codes = weight.codes
    numbers = (weight.scales, weight.minimums) if codes is None else (codes.scales, codes.minimums)
    tails = [_bytes(blocks(tensor), groups) for tensor in numbers if tensor is not None]
    packed = torch.cat([*_planes(values, weight.bits), *tails], dim=2).flatten(1)
    if codes is not None:
        factors = [each for each in (codes.factors, codes.minimum_factors) if each is not None]
        packed = torch.cat([packed, *(_bytes(blocks(each), 1).flatten(1) for each in factors)], dim=1)
    return packed.flatten()


def _planes(values: Tensor, bits: int) -> list[Tensor]:
    """Values [blocks, groups, steps, 8 words] as bytes: their low halves, two steps in one; then the bits above."""
    if bits == 8:
        return [values.view(torch.uint8).flatten(2)]
    low = values & every_byte(15)
    planes = [(low[:, :, 0::2] | low[:, :, 1::2] << 4).flatten(2)]
    each = bits - 4  # so many bits of a step stand beside those of the next
    high = values >> 4 & every_byte(2**each - 1)
    for first in range(0, _STEPS, 8 // each) if each else ():
        plane = high[:, :, first].clone()
        for step in range(1, 8 // each):
            plane |= high[:, :, first + step] << each * step
        planes.append(plane)
    return [plane.view(torch.uint8) for plane in planes]


def _bytes(numbers: Tensor, groups: int) -> Tensor:
    """[blocks, lanes, n · groups] numbers as [blocks, groups, bytes]: of a group's n, each for all lanes."""
    split = numbers.unflatten(2, (groups, -1)).permute(0, 2, 3, 1)
    return split.contiguous().flatten(2).view(torch.uint8)
