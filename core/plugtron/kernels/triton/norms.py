"""The residual and a norm in one pass over the hidden states."""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.kernels.triton.launch import FUSED, power_of_two

__all__ = ["add_and_normalize"]


def add_and_normalize(
    hidden: Tensor,
    added: Tensor | None,
    weight: Tensor | None,
    bias: Tensor | None,
    epsilon: float,
    *,
    center: bool,
    offset: float = 0.0,
) -> Tensor:
    """Add to hidden states in place, and return them normalized: [T, H] each.

    Args:
        added: what the layer before comes to; None: nothing.
        weight, bias: [H], or None.
        center: layer normalization (arXiv:1607.06450); else root mean square (arXiv:1910.07467).
        offset: what is added to the weight.
    """
    rows, width = hidden.shape
    normed = torch.empty_like(hidden)
    _add_and_normalize[(rows,)](
        hidden,
        hidden if added is None else added,
        hidden if weight is None else weight,
        hidden if bias is None else bias,
        normed,
        width,
        epsilon,
        offset,
        ADD=added is not None,
        CENTER=center,
        WEIGHT=weight is not None,
        BIAS=bias is not None,
        BLOCK=power_of_two(width),
        num_warps=8 if width > 2048 else 4,
        **FUSED,
    )
    return normed


@triton.jit
def _add_and_normalize(
    hidden, added, weight, bias, normed, width, epsilon, offset,
    ADD: tl.constexpr, CENTER: tl.constexpr, WEIGHT: tl.constexpr, BIAS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, BLOCK)
    inside = at < width
    line = tl.load(hidden + row * width + at, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        line += tl.load(added + row * width + at, mask=inside, other=0.0).to(tl.float32)
        # The sum is what is normalized as it is stored: rounded to the dtype of hidden states.
        stored = line.to(hidden.dtype.element_ty)
        tl.store(hidden + row * width + at, stored, mask=inside)
        line = stored.to(tl.float32)
    if CENTER:
        mean = tl.sum(line, axis=0) / width
        line = tl.where(inside, line - mean, 0.0)
    factor = 1.0 / tl.sqrt(tl.sum(line * line, axis=0) / width + epsilon)
    result = line * factor
    if WEIGHT:
        result *= tl.load(weight + at, mask=inside, other=0.0).to(tl.float32) + offset
    if BIAS:
        result += tl.load(bias + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(normed + row * width + at, result.to(normed.dtype.element_ty), mask=inside)
