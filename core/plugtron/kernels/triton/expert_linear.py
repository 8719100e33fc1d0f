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
from plugtron.kernels.triton.tile_linear import packed_words, weight_tile
from plugtron.quantization.weight import GROUP

__all__ = ["INPUTS", "OPTIONS", "OUTPUTS", "ROWS", "ExpertRows", "expert_linear"]

#: Rows of a tile: a matrix product of Triton's has no fewer.
ROWS = 16
OUTPUTS, INPUTS = 64, 64
OPTIONS = {"num_warps": 4, "num_stages": 3, **FUSED}


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
        tile_counts = (counts + ROWS - 1) // ROWS
        ends = tile_counts.cumsum(0)
        at = torch.arange(min(experts, len(flat)) + len(flat) // ROWS, device=chosen.device)
        expert = torch.searchsorted(ends, at, right=True).clamp(max=experts - 1)
        within = (at - (ends - tile_counts)[expert]) * ROWS
        left = (counts[expert] - within).clamp(0, ROWS)
        return cls(
            tokens=places // chosen.shape[1],
            places=places,
            tiles=torch.stack((expert, firsts[expert] + within, left), dim=1),
        )


def expert_linear(
    x: Tensor,
    rows: Tensor | None,
    tiles: Tensor,
    values: Tensor,
    scales: Tensor | None,
    minimums: Tensor | None,
    bias: Tensor | None,
    *,
    format: str,  # noqa: A002 - DeviceWeight's word
) -> Tensor:
    """Multiply each row with its expert's weight, [P, O].

    Args:
        x: [T, I], whose rows `rows` [P] are the ones that are meant; None: all, in order.
        tiles: see `ExpertRows`.
        values: of all experts [E, O, ...], like the other parts of their weights; see DeviceWeight.
        bias: [E, O].
    """
    count = len(x) if rows is None else len(rows)
    inputs, outputs = x.shape[1], values.shape[1]
    y = torch.empty(count, outputs, dtype=x.dtype, device=x.device)
    _expert_linear[(len(tiles), triton.cdiv(outputs, OUTPUTS))](
        x.contiguous(),
        tiles if rows is None else rows,
        tiles,
        packed_words(values, format),
        x if scales is None else scales,
        x if minimums is None else minimums,
        x if bias is None else bias,
        y,
        inputs,
        outputs,
        FORMAT=format,
        MINIMUM=minimums is not None,
        GATHERS=rows is not None,
        BIAS=bias is not None,
        ROWS=ROWS,
        OUTPUTS=OUTPUTS,
        INPUTS=INPUTS,
        GROUP=GROUP,
        **OPTIONS,
    )
    return y


@triton.jit(do_not_specialize_on_alignment=["rows", "tiles"])  # parts of larger tensors
def _expert_linear(
    x, rows, tiles, values, scales, minimums, bias, y, inputs, outputs,
    FORMAT: tl.constexpr, MINIMUM: tl.constexpr, GATHERS: tl.constexpr, BIAS: tl.constexpr, ROWS: tl.constexpr,
    OUTPUTS: tl.constexpr, INPUTS: tl.constexpr, GROUP: tl.constexpr,
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
    # From here on the weights are this expert's.
    line = expert * outputs
    values += line * (inputs // 8 if FORMAT == "int4" or FORMAT == "mxfp4" else inputs)
    scales += line * (1 if FORMAT == "fp8" else inputs // GROUP)
    minimums += line * (inputs // GROUP)
    total = tl.zeros([ROWS, OUTPUTS], tl.float32)
    for start in range(0, inputs, INPUTS):
        position = start + tl.arange(0, INPUTS)
        known = position < inputs
        own = tl.load(x + source[:, None] * inputs + position[None, :], mask=there[:, None] & known[None, :], other=0.0)
        weight = weight_tile(
            values, scales, minimums, output, start, inputs, outputs, own.dtype, FORMAT, MINIMUM, OUTPUTS, INPUTS, GROUP
        )
        total += tl.dot(own, tl.trans(weight), input_precision="ieee")
    if FORMAT == "fp8":
        total *= tl.load(scales + output, mask=inside, other=0.0)[None, :]
    if BIAS:
        total += tl.load(bias + expert * outputs + output, mask=inside, other=0.0).to(tl.float32)[None, :]
    place = at[:, None] * outputs + output[None, :]
    tl.store(y + place, total.to(y.dtype.element_ty), mask=there[:, None] & inside[None, :])
