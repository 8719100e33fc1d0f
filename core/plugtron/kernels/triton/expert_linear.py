"""Products of tokens with their experts' weights. The weights of experts that nobody chose are not read.

Tokens are sorted by expert on the device, and cut into tiles of one expert each, of which there are as many as there
may be at the most: so nothing has to be known on the host, and steps can be captured.
"""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.kernels.triton.launch import FUSED

__all__ = ["ExpertRows", "expert_linear"]

#: Rows of a tile: a matrix product of Triton's has no fewer.
_ROWS = 16
_OUTPUTS, _INPUTS = 64, 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertRows:
    """The rows that experts work on: P, a token of T for each of its K experts, those of one expert together.

    Args:
        tokens: [P] int64, the token of each row.
        places: [P] int64, which row of [T · K] each one is.
        tiles: [N, 3] int64, of each tile its expert, its first row, and how many rows it has, perhaps none.
    """

    tokens: Tensor
    places: Tensor
    tiles: Tensor

    @classmethod
    def of(cls, chosen: Tensor, experts: int) -> ExpertRows:
        """Sort the tokens of `chosen` [T, K] by expert."""
        flat = chosen.flatten()
        places = flat.argsort(stable=True)
        counts = torch.zeros(experts, dtype=torch.int64, device=chosen.device)
        counts = counts.scatter_add_(0, flat, torch.ones_like(flat))
        firsts = counts.cumsum(0) - counts
        tile_counts = (counts + _ROWS - 1) // _ROWS
        ends = tile_counts.cumsum(0)
        at = torch.arange(min(experts, len(flat)) + len(flat) // _ROWS, device=chosen.device)
        expert = torch.searchsorted(ends, at, right=True).clamp(max=experts - 1)
        within = (at - (ends - tile_counts)[expert]) * _ROWS
        left = (counts[expert] - within).clamp(0, _ROWS)
        return cls(
            tokens=places // chosen.shape[1],
            places=places,
            tiles=torch.stack((expert, firsts[expert] + within, left), dim=1),
        )


def expert_linear(x: Tensor, rows: Tensor | None, tiles: Tensor, weights: Tensor, bias: Tensor | None) -> Tensor:
    """Multiply each row with its expert's weight, [P, O].

    Args:
        x: [T, I], whose rows `rows` [P] are the ones that are meant; None: all, in order.
        tiles: see `ExpertRows`.
        weights: [E, O, I]; bias: [E, O].
    """
    count = len(x) if rows is None else len(rows)
    _, outputs, inputs = weights.shape
    y = torch.empty(count, outputs, dtype=x.dtype, device=x.device)
    _expert_linear[(len(tiles), triton.cdiv(outputs, _OUTPUTS))](
        x.contiguous(),
        tiles if rows is None else rows,
        tiles,
        weights,
        x if bias is None else bias,
        y,
        inputs,
        outputs,
        GATHERS=rows is not None,
        BIAS=bias is not None,
        ROWS=_ROWS,
        OUTPUTS=_OUTPUTS,
        INPUTS=_INPUTS,
        num_warps=4,
        num_stages=3,
        **FUSED,
    )
    return y


@triton.jit(do_not_specialize_on_alignment=["rows", "tiles"])  # parts of larger tensors
def _expert_linear(
    x, rows, tiles, weights, bias, y, inputs, outputs,
    GATHERS: tl.constexpr, BIAS: tl.constexpr, ROWS: tl.constexpr, OUTPUTS: tl.constexpr, INPUTS: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0).to(tl.int64)
    count = tl.load(tiles + tile * 3 + 2)
    if count == 0:
        return  # there are as many tiles as there may be
    expert = tl.load(tiles + tile * 3)
    at = tl.load(tiles + tile * 3 + 1) + tl.arange(0, ROWS)
    there = tl.arange(0, ROWS) < count
    source = at
    if GATHERS:
        source = tl.load(rows + at, mask=there, other=0)
    output = tl.program_id(1) * OUTPUTS + tl.arange(0, OUTPUTS)
    inside = output < outputs
    total = tl.zeros([ROWS, OUTPUTS], tl.float32)
    for start in range(0, inputs, INPUTS):
        position = start + tl.arange(0, INPUTS)
        known = position < inputs
        own = tl.load(x + source[:, None] * inputs + position[None, :], mask=there[:, None] & known[None, :], other=0.0)
        line = weights + (expert * outputs + output)[:, None] * inputs + position[None, :]
        weight = tl.load(line, mask=inside[:, None] & known[None, :], other=0.0)
        total += tl.dot(own, tl.trans(weight), input_precision="ieee")
    if BIAS:
        total += tl.load(bias + expert * outputs + output, mask=inside, other=0.0).to(tl.float32)[None, :]
    place = at[:, None] * outputs + output[None, :]
    tl.store(y + place, total.to(y.dtype.element_ty), mask=there[:, None] & inside[None, :])
