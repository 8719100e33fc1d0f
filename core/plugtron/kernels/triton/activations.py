"""act(gate) · up, or act(x)."""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.kernels.triton.launch import FUSED

__all__ = ["ACTIVATIONS", "activate"]

#: Names of plugtron.nn.config's activations, in the order of the kernel's numbers.
ACTIVATIONS = ("silu", "gelu", "gelu_tanh", "gelu_quick", "relu", "relu_squared", "tanh")
_BLOCK = 1024


def activate(channels: Tensor, name: str, *, gated: bool) -> Tensor:
    """Map [T, I], or [T, 2 I] with the gate first, to [T, I]."""
    rows, width = channels.shape
    width = width // 2 if gated else width
    result = torch.empty(rows, width, dtype=channels.dtype, device=channels.device)
    grid = (rows, triton.cdiv(width, _BLOCK))
    _activate[grid](channels, result, width, FUNCTION=ACTIVATIONS.index(name), GATED=gated, BLOCK=_BLOCK, **FUSED)
    return result


@triton.jit
def _activate(channels, result, width, FUNCTION: tl.constexpr, GATED: tl.constexpr, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = at < width
    line = channels + row * width * (2 if GATED else 1)
    x = tl.load(line + at, mask=inside, other=0.0).to(tl.float32)
    if FUNCTION == 0:
        y = x * tl.sigmoid(x)
    elif FUNCTION == 1:
        y = 0.5 * x * (1.0 + tl.erf(x * 0.7071067811865476))
    elif FUNCTION == 2:  # 0.5 (1 + tanh(z)) = sigmoid(2 z)
        y = x * tl.sigmoid(2.0 * 0.7978845608028654 * (x + 0.044715 * x * x * x))
    elif FUNCTION == 3:
        y = x * tl.sigmoid(1.702 * x)
    elif FUNCTION == 4:
        y = tl.where(x < 0.0, 0.0, x)  # what is no number stays so
    elif FUNCTION == 5:
        y = tl.where(x < 0.0, 0.0, x * x)
    else:
        y = 2.0 * tl.sigmoid(2.0 * x) - 1.0
    if GATED:
        # Rounded in between, as the function's own result is.
        y = y.to(result.dtype.element_ty).to(tl.float32)
        y *= tl.load(line + width + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(result + row * width + at, y.to(result.dtype.element_ty), mask=inside)
