"""y = x Wᵀ for weights of 4 or 8 bits in groups of 32, which are read as they are."""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.contracts.quantised import GROUP, QuantisedWeight
from plugtron.kernels.triton.launch import power_of_two

__all__ = ["INPUTS", "OPTIONS", "OUTPUTS", "DeviceWeight", "quantised_linear"]

#: Rows of x that one program multiplies: a matrix product of Triton's has no fewer.
_LEAST_ROWS, _MOST_ROWS = 16, 64
#: Outputs and inputs of one of its tiles of weights, and how it is compiled.
OUTPUTS, INPUTS = 64, 128
OPTIONS = {"num_warps": 4, "num_stages": 3}


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWeight:
    """A weight [O, I] on a device: `values` [O, I] uint8, or [O, I / 2] with an even input in each byte's low half.

    `scales` [O, I / 32], and `minimums` alike or None, in float16.
    """

    bits: int
    values: Tensor
    scales: Tensor
    minimums: Tensor | None

    @classmethod
    def of(cls, weight: QuantisedWeight, device: torch.device) -> DeviceWeight:
        """Pack a weight with groups of 32, and bring it to a device."""
        assert weight.values.shape[1] == weight.scales.shape[1] * GROUP
        values = weight.values
        if weight.bits == 4:
            values = values[:, 0::2] | (values[:, 1::2] << 4)
        return cls(
            bits=weight.bits,
            values=values.contiguous().to(device),
            scales=weight.scales.to(device),
            minimums=None if weight.minimums is None else weight.minimums.to(device),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """O and I."""
        return len(self.scales), self.scales.shape[1] * GROUP

    @property
    def nbytes(self) -> int:
        """Of all of it."""
        return self.values.nbytes + self.scales.nbytes + (0 if self.minimums is None else self.minimums.nbytes)

    def __call__(self, hidden: Tensor, bias: Tensor | None) -> Tensor:
        """Map [T, I] to [T, O]."""
        return quantised_linear(hidden, self, bias)


def quantised_linear(x: Tensor, weight: DeviceWeight, bias: Tensor | None = None) -> Tensor:
    """Map [T, I] to [T, O]. Weights are read once for every 64 rows."""
    rows, inputs = x.shape
    tile = min(max(power_of_two(rows), _LEAST_ROWS), _MOST_ROWS)
    outputs = len(weight.values)
    y = torch.empty(rows, outputs, dtype=x.dtype, device=x.device)
    _quantised_linear[(triton.cdiv(outputs, OUTPUTS), triton.cdiv(rows, tile))](
        x.contiguous(),
        weight.values,
        weight.scales,
        weight.scales if weight.minimums is None else weight.minimums,
        x if bias is None else bias,
        y,
        rows,
        inputs,
        outputs,
        BITS=weight.bits,
        MINIMUM=weight.minimums is not None,
        BIAS=bias is not None,
        ROWS=tile,
        OUTPUTS=OUTPUTS,
        INPUTS=INPUTS,
        GROUP=GROUP,
        **OPTIONS,
    )
    return y


@triton.jit
def _quantised_linear(
    x, values, scales, minimums, bias, y, rows, inputs, outputs,
    BITS: tl.constexpr, MINIMUM: tl.constexpr, BIAS: tl.constexpr, ROWS: tl.constexpr, OUTPUTS: tl.constexpr,
    INPUTS: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    output = tl.program_id(0) * OUTPUTS + tl.arange(0, OUTPUTS)
    row = tl.program_id(1) * ROWS + tl.arange(0, ROWS)
    there = output < outputs
    sums = tl.zeros([ROWS, OUTPUTS], tl.float32)
    for start in range(0, inputs, INPUTS):
        at = start + tl.arange(0, INPUTS)
        inside = there[:, None] & (at < inputs)[None, :]
        if BITS == 4:
            byte = tl.load(
                values + output[:, None].to(tl.int64) * (inputs // 2) + (at // 2)[None, :], mask=inside, other=0
            )
            number = ((byte >> ((at % 2) * 4)[None, :].to(tl.uint8)) & 15).to(tl.float32)
        else:
            number = tl.load(values + output[:, None].to(tl.int64) * inputs + at[None, :], mask=inside, other=0)
            number = number.to(tl.float32)
        place = output[:, None].to(tl.int64) * (inputs // GROUP) + (at // GROUP)[None, :]
        scale = tl.load(scales + place, mask=inside, other=0.0).to(tl.float32)
        if MINIMUM:
            weight = number * scale + tl.load(minimums + place, mask=inside, other=0.0).to(tl.float32)
        else:
            weight = (number - 128.0) * scale
        own = tl.load(
            x + row[:, None].to(tl.int64) * inputs + at[None, :],
            mask=(row < rows)[:, None] & (at < inputs)[None, :],
            other=0.0,
        )
        sums += tl.dot(own, tl.trans(weight).to(own.dtype), input_precision="ieee")
    if BIAS:
        sums += tl.load(bias + output, mask=there, other=0.0).to(tl.float32)[None, :]
    tl.store(
        y + row[:, None].to(tl.int64) * outputs + output[None, :],
        sums.to(y.dtype.element_ty),
        mask=(row < rows)[:, None] & there[None, :],
    )
