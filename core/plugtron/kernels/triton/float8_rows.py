"""Rounding rows to e4m3 in one pass, each with its scale: plugtron.quantization.float8.quantize_rows does the same."""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.kernels.triton.launch import FUSED, power_of_two
from plugtron.quantization.float8 import FLOAT8, LARGEST

__all__ = ["float8_rows"]


def float8_rows(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows [R, C] in e4m3 and what they are to be multiplied with, [R, 1] float32."""
    rows, width = numbers.shape
    rounded = torch.empty(rows, width, dtype=FLOAT8, device=numbers.device)
    scales = torch.empty(rows, 1, dtype=torch.float32, device=numbers.device)
    block = power_of_two(width)
    _round[(rows,)](
        numbers.contiguous(), rounded, scales, width,
        LARGEST=LARGEST, BLOCK=block, num_warps=16 if block > 4096 else 4, **FUSED,
    )  # fmt: skip
    return rounded, scales


@triton.jit
def _round(numbers, rounded, scales, width, LARGEST: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < width
    line = tl.load(numbers + row * width + at, mask=inside, other=0.0).to(tl.float32)
    scale = tl.maximum(tl.max(tl.abs(line), axis=0), 1e-12) / LARGEST
    # A quotient may round to a little more than the largest number there is.
    line = line / scale
    line = tl.where(line > LARGEST, LARGEST, tl.where(line < -LARGEST, -LARGEST, line))
    tl.store(rounded + row * width + at, line.to(rounded.dtype.element_ty), mask=inside)
    tl.store(scales + row, scale)
