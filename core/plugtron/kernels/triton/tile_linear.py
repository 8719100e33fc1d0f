"""y = x Wᵀ for a few rows: tiles of weights are read as they are held, and multiplied as matrices."""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.kernels.triton.launch import FUSED, power_of_two
from plugtron.kernels.triton.nibbles import e2m1, joined, nibble, power, unit
from plugtron.quantization.weight import GROUP

__all__ = ["INPUTS", "dense", "packed_words", "tile_linear", "tile_options", "tile_outputs", "weight_tile"]

#: Rows of x that one program multiplies: a matrix product of Triton's has no fewer.
_LEAST_ROWS, _MOST_ROWS = 16, 64
#: Inputs of what is made dense at once.
INPUTS = 128
#: As many programs as keep a large GPU's multiprocessors busy.
_ENOUGH_PROGRAMS = 128


def tile_outputs(outputs: int) -> int:
    """How many outputs a tile of weights has: fewer where they would make too few programs."""
    return 64 if outputs >= 64 * _ENOUGH_PROGRAMS else 32


def tile_options(rows: int, itemsize: int) -> dict[str, int | bool]:
    """Inputs of a tile of weights, and how it is compiled: as much under way as fits 99 KiB of shared memory.

    For few rows there is room for more, and as few programs as there are need it.
    """
    if itemsize > 2:
        return {"INPUTS": 64, "num_warps": 4, "num_stages": 2, **FUSED}
    inputs, stages = (256, 4) if rows <= _LEAST_ROWS else (128, 3)
    return {"INPUTS": inputs, "num_warps": 4, "num_stages": stages, **FUSED}


def tile_linear(
    x: Tensor,
    values: Tensor,
    scales: Tensor | None,
    minimums: Tensor | None,
    bias: Tensor | None,
    *,
    format: str,  # noqa: A002 - DeviceWeight's word
    in_order: bool,
) -> Tensor:
    """Map [T, I] to [T, O] by a weight's parts, see DeviceWeight. Weights are read once for every 64 rows.

    Args:
        in_order: tiles are of one shape for any number of rows, and with them the order of sums.
    """
    rows, inputs = x.shape
    outputs = len(values)
    tile = _MOST_ROWS if in_order else min(max(power_of_two(rows), _LEAST_ROWS), _MOST_ROWS)
    width = tile_outputs(outputs)
    y = torch.empty(rows, outputs, dtype=x.dtype, device=x.device)
    # Neighbors share a tile of weights, which then is read but once.
    _tile_linear[(triton.cdiv(rows, tile), triton.cdiv(outputs, width))](
        x.contiguous(),
        packed_words(values, format),
        x if scales is None else scales,
        x if minimums is None else minimums,
        x if bias is None else bias,
        y,
        rows,
        inputs,
        outputs,
        FORMAT=format,
        MINIMUM=minimums is not None,
        BIAS=bias is not None,
        ROWS=tile,
        OUTPUTS=width,
        GROUP=GROUP,
        **tile_options(tile, x.itemsize),
    )
    return y


def dense(
    values: Tensor,
    scales: Tensor | None,
    minimums: Tensor | None,
    dtype: torch.dtype,
    *,
    format: str,  # noqa: A002 - DeviceWeight's word
) -> Tensor:
    """The whole weight [O, I] in another dtype."""
    outputs, inputs = len(values), values.shape[1] * (2 if format in ("int4", "mxfp4") else 1)
    result = torch.empty(outputs, inputs, dtype=dtype, device=values.device)
    _dense[(triton.cdiv(outputs, 32), triton.cdiv(inputs, INPUTS))](
        packed_words(values, format),
        values if scales is None else scales,
        values if minimums is None else minimums,
        result,
        inputs,
        outputs,
        FORMAT=format,
        MINIMUM=minimums is not None,
        OUTPUTS=32,
        INPUTS=INPUTS,
        GROUP=GROUP,
        **FUSED,
    )
    # Those of fp8 are not in the kernel's tiles: see `weight_tile`.
    return result.mul_(scales) if format == "fp8" and scales is not None else result


def packed_words(values: Tensor, format: str) -> Tensor:  # noqa: A002 - DeviceWeight's word
    """Numbers of 4 bits by eight, others as they are."""
    return values.view(torch.int32) if format in ("int4", "mxfp4") else values


@triton.jit
def weight_tile(
    values, scales, minimums, output, start, inputs, outputs, dtype: tl.constexpr,
    FORMAT: tl.constexpr, MINIMUM: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """A tile of weights [OUTPUTS, INPUTS] from input `start` on; fp8 without its scales."""
    there = (output < outputs)[:, None]
    line = output.to(tl.int64)[:, None]
    at = start + tl.arange(0, INPUTS)
    group = start // GROUP + tl.arange(0, INPUTS // GROUP)
    place = line * (inputs // GROUP) + group[None, :]
    held = there & (group < inputs // GROUP)[None, :]
    if FORMAT == "int4":
        WORDS: tl.constexpr = INPUTS // 8
        word_at = start // 8 + tl.arange(0, WORDS)
        inside = there & (word_at < inputs // 8)[None, :]
        word = tl.load(values + line * (inputs // 8) + word_at[None, :], mask=inside, other=0)
        scale = _spread(tl.load(scales + place, mask=held, other=0.0), OUTPUTS, WORDS, GROUP // 8)
        low = 0.0
        if MINIMUM:
            low = _spread(tl.load(minimums + place, mask=held, other=0.0), OUTPUTS, WORDS, GROUP // 8)
        weight = joined(
            (nibble(word, 0) * (scale * unit(0)) + low).to(dtype),
            (nibble(word, 1) * (scale * unit(1)) + low).to(dtype),
            (nibble(word, 2) * (scale * unit(2)) + low).to(dtype),
            (nibble(word, 3) * (scale * unit(3)) + low).to(dtype),
            (nibble(word, 4) * (scale * unit(4)) + low).to(dtype),
            (nibble(word, 5) * (scale * unit(5)) + low).to(dtype),
            (nibble(word, 6) * (scale * unit(6)) + low).to(dtype),
            (nibble(word, 7) * (scale * unit(7)) + low).to(dtype),
            OUTPUTS, INPUTS,
        )  # fmt: skip
    elif FORMAT == "mxfp4":
        WORDS: tl.constexpr = INPUTS // 8
        word_at = start // 8 + tl.arange(0, WORDS)
        inside = there & (word_at < inputs // 8)[None, :]
        word = tl.load(values + line * (inputs // 8) + word_at[None, :], mask=inside, other=0)
        scale = _spread(power(tl.load(scales + place, mask=held, other=0)), OUTPUTS, WORDS, GROUP // 8)
        weight = joined(
            (e2m1(word, 0) * scale).to(dtype),
            (e2m1(word, 1) * scale).to(dtype),
            (e2m1(word, 2) * scale).to(dtype),
            (e2m1(word, 3) * scale).to(dtype),
            (e2m1(word, 4) * scale).to(dtype),
            (e2m1(word, 5) * scale).to(dtype),
            (e2m1(word, 6) * scale).to(dtype),
            (e2m1(word, 7) * scale).to(dtype),
            OUTPUTS, INPUTS,
        )  # fmt: skip
    elif FORMAT == "int8":
        number = tl.load(values + line * inputs + at[None, :], mask=there & (at < inputs)[None, :], other=0)
        scale = _spread(tl.load(scales + place, mask=held, other=0.0), OUTPUTS, INPUTS, GROUP)
        # What lies outside has a scale of 0.
        weight = (number.to(tl.float32) * scale - 128.0 * scale).to(dtype)
    else:
        inside = there & (at < inputs)[None, :]
        weight = tl.load(values + line * inputs + at[None, :], mask=inside, other=0.0).to(dtype)
    return weight


@triton.jit
def _spread(by_group, OUTPUTS: tl.constexpr, WIDTH: tl.constexpr, GROUP: tl.constexpr):
    """What groups have, [OUTPUTS, WIDTH / GROUP], for each of their members: [OUTPUTS, WIDTH] float32."""
    column = by_group.to(tl.float32)[:, :, None]
    return tl.reshape(tl.broadcast_to(column, (OUTPUTS, WIDTH // GROUP, GROUP)), (OUTPUTS, WIDTH))


@triton.jit(do_not_specialize=["rows"])  # which changes from step to step
def _tile_linear(
    x, values, scales, minimums, bias, y, rows, inputs, outputs,
    FORMAT: tl.constexpr, MINIMUM: tl.constexpr, BIAS: tl.constexpr, ROWS: tl.constexpr, OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    there = output < outputs
    sums = tl.zeros([ROWS, OUTPUTS], tl.float32)
    for start in range(0, inputs, INPUTS):
        at = start + tl.arange(0, INPUTS)
        own = tl.load(
            x + row[:, None].to(tl.int64) * inputs + at[None, :],
            mask=(row < rows)[:, None] & (at < inputs)[None, :],
            other=0.0,
        )
        weight = weight_tile(
            values, scales, minimums, output, start, inputs, outputs, own.dtype,
            FORMAT, MINIMUM, OUTPUTS, INPUTS, GROUP,
        )  # fmt: skip
        sums += tl.dot(own, tl.trans(weight), input_precision="ieee")
    if FORMAT == "fp8":
        sums *= tl.load(scales + output, mask=there, other=0.0)[None, :]
    if BIAS:
        sums += tl.load(bias + output, mask=there, other=0.0).to(tl.float32)[None, :]
    tl.store(
        y + row[:, None].to(tl.int64) * outputs + output[None, :],
        sums.to(y.dtype.element_ty),
        mask=(row < rows)[:, None] & there[None, :],
    )


@triton.jit
def _dense(
    values, scales, minimums, result, inputs, outputs,
    FORMAT: tl.constexpr, MINIMUM: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    start = tl.program_id(1) * INPUTS
    weight = weight_tile(
        values, scales, minimums, output, start, inputs, outputs, result.dtype.element_ty,
        FORMAT, MINIMUM, OUTPUTS, INPUTS, GROUP,
    )  # fmt: skip
    at = start + tl.arange(0, INPUTS)
    tl.store(
        result + output[:, None].to(tl.int64) * inputs + at[None, :],
        weight,
        mask=(output < outputs)[:, None] & (at < inputs)[None, :],
    )
