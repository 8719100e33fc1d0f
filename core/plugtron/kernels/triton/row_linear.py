"""y = x Wᵀ for one row: a weight is read once, as it is held, and every thread sums up what it reads."""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.kernels.triton.launch import FUSED, power_of_two
from plugtron.kernels.triton.nibbles import columns, nibble, unit
from plugtron.quantization.weight import GROUP

__all__ = ["BYTES", "OPTIONS", "OUTPUTS", "row_linear"]

#: Outputs of one program, and how many bytes of each it reads at once: 16 for each thread of its warps.
OUTPUTS, BYTES = 16, 1024
OPTIONS = {"num_warps": 8, **FUSED}


def row_linear(
    x: Tensor,
    values: Tensor,
    scales: Tensor | None,
    minimums: Tensor | None,
    bias: Tensor | None,
    *,
    format: str,  # noqa: A002 - DeviceWeight's word
) -> Tensor:
    """Map [1, I] to [1, O] by a weight's parts, see DeviceWeight; one of 8 bits or fewer."""
    words = values.view(torch.int32) if format == "int4" else values
    outputs, width = words.shape
    y = torch.empty(1, outputs, dtype=x.dtype, device=x.device)
    _row_linear[(triton.cdiv(outputs, OUTPUTS),)](
        x.contiguous(),
        words,
        x if scales is None else scales,
        x if minimums is None else minimums,
        x if bias is None else bias,
        y,
        width,
        outputs,
        FORMAT=format,
        MINIMUM=minimums is not None,
        BIAS=bias is not None,
        OUTPUTS=OUTPUTS,
        WIDTH=max(min(BYTES // words.itemsize, power_of_two(width)), GROUP),
        GROUP=GROUP,
        **OPTIONS,
    )
    return y


@triton.jit
def _row_linear(
    x, values, scales, minimums, bias, y, width, outputs,
    FORMAT: tl.constexpr, MINIMUM: tl.constexpr, BIAS: tl.constexpr, OUTPUTS: tl.constexpr, WIDTH: tl.constexpr,
    GROUP: tl.constexpr,
):  # fmt: skip
    # What a group of weights comes to is scaled as a whole. Where zero stands for 128, that much of the inputs' own sum
    # is taken off, as a minimum is added.
    IN_GROUP: tl.constexpr = GROUP // 8 if FORMAT == "int4" else GROUP
    GROUPS: tl.constexpr = WIDTH // IN_GROUP
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    there = output < outputs
    line = output.to(tl.int64)[:, None]
    groups = width // IN_GROUP
    sums = tl.zeros([OUTPUTS, GROUPS], tl.float32)
    for start in range(0, width, WIDTH):
        at = start + tl.arange(0, WIDTH)
        inside = there[:, None] & (at < width)[None, :]
        if FORMAT == "int4":
            word = tl.load(values + line * width + at[None, :], mask=inside, other=0)
            place = start * 8 + tl.arange(0, WIDTH * 8)
            own = tl.load(x + place, mask=place < width * 8, other=0.0).to(tl.float32)
            x0, x1, x2, x3, x4, x5, x6, x7 = columns(own, WIDTH)
            product = nibble(word, 0) * (x0 * unit(0))[None, :]
            product += nibble(word, 1) * (x1 * unit(1))[None, :]
            product += nibble(word, 2) * (x2 * unit(2))[None, :]
            product += nibble(word, 3) * (x3 * unit(3))[None, :]
            product += nibble(word, 4) * (x4 * unit(4))[None, :]
            product += nibble(word, 5) * (x5 * unit(5))[None, :]
            product += nibble(word, 6) * (x6 * unit(6))[None, :]
            product += nibble(word, 7) * (x7 * unit(7))[None, :]
            own = x0 + x1 + x2 + x3 + x4 + x5 + x6 + x7
        else:
            own = tl.load(x + at, mask=at < width, other=0.0).to(tl.float32)
            product = tl.load(values + line * width + at[None, :], mask=inside, other=0.0).to(tl.float32) * own[None, :]
        part = tl.sum(tl.reshape(product, (OUTPUTS, GROUPS, IN_GROUP)), axis=2)
        if FORMAT == "fp8":
            sums += part
        else:
            total = tl.sum(tl.reshape(own, (GROUPS, IN_GROUP)), axis=1)
            group = start // IN_GROUP + tl.arange(0, GROUPS)
            held = there[:, None] & (group < groups)[None, :]
            scale = tl.load(scales + line * groups + group[None, :], mask=held, other=0.0).to(tl.float32)
            if MINIMUM:
                low = tl.load(minimums + line * groups + group[None, :], mask=held, other=0.0).to(tl.float32)
            else:
                low = scale * -128.0
            sums += part * scale + total[None, :] * low
    result = tl.sum(sums, axis=1)
    if FORMAT == "fp8":
        result *= tl.load(scales + output, mask=there, other=0.0)
    if BIAS:
        result += tl.load(bias + output, mask=there, other=0.0).to(tl.float32)
    tl.store(y + output, result.to(y.dtype.element_ty), mask=there)
