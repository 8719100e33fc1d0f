"""GGUF blocks as they are: the numbers that a file holds, rearranged, none of them rounded a second time.

The formats are those of ggml (https://github.com/ggml-org/ggml, ggml-common.h). O rows, B blocks in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from plugtron.quantization.weight import QuantizedWeight, ScaleCodes
from plugtron.utils.bytewise import every_byte, words_of

__all__ = ["BLOCKS"]


def _halves(blocks: Tensor, at: int) -> Tensor:
    """The float16 at byte `at` of each block, [O, B]."""
    return blocks[:, :, at : at + 2].contiguous().view(torch.float16).squeeze(2)


def _nibbles(packed: Tensor) -> Tensor:
    """[..., n] bytes as [..., 2 n] numbers: the low halves of all, then the high ones."""
    words = words_of(packed)
    return torch.cat([words & every_byte(15), words >> 4 & every_byte(15)], dim=-1).view(torch.uint8)


def _fifth_bits(blocks: Tensor, at: int) -> Tensor:
    """The 32 bits at byte `at` of each block as [O, B, 32] numbers, 0 or 16."""
    shifts = torch.arange(8, dtype=torch.uint8)
    bits = blocks[:, :, at : at + 4].unsqueeze(3) >> shifts
    return (bits & 1).flatten(2) << 4


def _affine(bits: int, values: Tensor, scales: Tensor, minimums: Tensor | None) -> QuantizedWeight:
    return QuantizedWeight(bits=bits, values=values.flatten(1), scales=scales, minimums=minimums)


def _q4_0(blocks: Tensor) -> QuantizedWeight:
    scales = _halves(blocks, 0)
    return _affine(4, _nibbles(blocks[:, :, 2:]), scales, scales * -8)


def _q4_1(blocks: Tensor) -> QuantizedWeight:
    return _affine(4, _nibbles(blocks[:, :, 4:]), _halves(blocks, 0), _halves(blocks, 2))


def _q5_0(blocks: Tensor) -> QuantizedWeight:
    values = _nibbles(blocks[:, :, 6:]) | _fifth_bits(blocks, 2)
    return _affine(5, values + (128 - 16), _halves(blocks, 0), None)


def _q5_1(blocks: Tensor) -> QuantizedWeight:
    values = _nibbles(blocks[:, :, 8:]) | _fifth_bits(blocks, 4)
    return _affine(5, values, _halves(blocks, 0), _halves(blocks, 2))


def _q8_0(blocks: Tensor) -> QuantizedWeight:
    return _affine(8, blocks[:, :, 2:] + 128, _halves(blocks, 0), None)


def _coded(bits: int, values: Tensor, codes: ScaleCodes) -> QuantizedWeight:
    scales, minimums = codes.products()
    return QuantizedWeight(bits=bits, values=values.flatten(1), scales=scales, minimums=minimums, codes=codes)


def _scales_of_six_bits(packed: Tensor) -> tuple[Tensor, Tensor]:
    """The eight scales and eight minimums [O, B, 8] in the twelve bytes of a K block."""
    first, second, third = packed.contiguous().view(torch.int32).unbind(2)
    six, four, two = (every_byte(mask, 4) for mask in (63, 15, 3))
    scales = torch.stack([first & six, third & four | (first >> 6 & two) << 4], dim=2)
    minimums = torch.stack([second & six, third >> 4 & four | (second >> 6 & two) << 4], dim=2)
    return scales.view(torch.uint8), minimums.view(torch.uint8)


def _eight_groups(bits: int, blocks: Tensor, values: Tensor) -> QuantizedWeight:
    """A K block with scales and minimums of six bits; values [O, B, 4, 64]."""
    scales, minimums = _scales_of_six_bits(blocks[:, :, 4:16])
    codes = ScaleCodes(
        scales=scales.flatten(1).view(torch.int8),
        factors=_halves(blocks, 0),
        minimums=minimums.flatten(1).view(torch.int8),
        minimum_factors=_halves(blocks, 2),
    )
    return _coded(bits, values, codes)


def _q4_k(blocks: Tensor) -> QuantizedWeight:
    return _eight_groups(4, blocks, _nibbles(blocks[:, :, 16:].unflatten(2, (4, 32))))


def _q5_k(blocks: Tensor) -> QuantizedWeight:
    low = _nibbles(blocks[:, :, 48:].unflatten(2, (4, 32))).unflatten(3, (2, 32)).flatten(2, 3)
    # Bit g of the n-th of these bytes belongs to number n of group g.
    bits = words_of(blocks[:, :, 16:48])
    fifth = torch.stack([(bits >> group & every_byte(1)) << 4 for group in range(8)], dim=2)
    return _eight_groups(5, blocks, low | fifth.view(torch.uint8))


def _q6_k(blocks: Tensor) -> QuantizedWeight:
    low = words_of(_nibbles(blocks[:, :, :128].unflatten(2, (2, 64))))  # [O, B, 2, 128] bytes
    pairs = words_of(blocks[:, :, 128:192].unflatten(2, (2, 32)))
    high = torch.cat([(pairs >> shift & every_byte(3)) << 4 for shift in (0, 2, 4, 6)], dim=-1)
    values = (low | high) + every_byte(128 - 32)  # no byte becomes more than 255
    scales = blocks[:, :, 192:208].contiguous().view(torch.int8).flatten(1)
    return _coded(6, values.view(torch.uint8), ScaleCodes(scales=scales, factors=_halves(blocks, 208)))


def _mxfp4(blocks: Tensor) -> QuantizedWeight:
    # Its numbers are twice those of the standard there, times half its power of 2.
    return _affine(4, _nibbles(blocks[:, :, 1:]), blocks[:, :, 0], None)


#: From bytes [O, B, bytes of a block] to a weight, by the type's name.
BLOCKS: Mapping[str, Callable[[Tensor], QuantizedWeight]] = {
    "Q4_0": _q4_0,
    "Q4_1": _q4_1,
    "Q5_0": _q5_0,
    "Q5_1": _q5_1,
    "Q8_0": _q8_0,
    "Q4_K": _q4_k,
    "Q5_K": _q5_k,
    "Q6_K": _q6_k,
    "MXFP4": _mxfp4,
}
