"""Eight bits in floating point, e4m3 (Micikevicius et al., arXiv:2209.05433): rounding to it, and products of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.functional import ScalingType

__all__ = ["FLOAT8", "LARGEST", "Float8Weight", "quantize_rows", "scaled_product", "takes_products", "to_float8"]

FLOAT8 = torch.float8_e4m3fn
#: The largest number that it has; there are no infinities.
LARGEST = 448.0
#: What torch's product wants inputs and outputs to be multiples of.
_ALIGNMENT = 16


def to_float8(numbers: Tensor) -> Tensor:
    """Round to e4m3; what is too large becomes the largest there is, and what is no number stays so."""
    return numbers.clamp(-LARGEST, LARGEST).to(FLOAT8)


def quantize_rows(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows [R, C] in e4m3 and what they are to be multiplied with, [R, 1] float32."""
    scales = numbers.abs().amax(1, keepdim=True).float().clamp(min=1e-12) / LARGEST
    return to_float8(numbers.float() / scales), scales


@dataclass(frozen=True, slots=True)
class Float8Weight:
    """A weight [O, I] as `values` [O, I] e4m3, and `scales` [O, 1] float32 that they are to be multiplied with."""

    values: Tensor
    scales: Tensor

    @classmethod
    def of(cls, weight: Tensor) -> Float8Weight:
        """Round a weight [O, I]."""
        return cls(*quantize_rows(weight))

    @classmethod
    def stacked(cls, weights: Sequence[Float8Weight]) -> Float8Weight:
        """The rows of several weights, one after the other."""
        # Not every device has operations for e4m3: it is moved as bytes.
        values = torch.cat([weight.values.view(torch.uint8) for weight in weights]).view(FLOAT8)
        return cls(values, torch.cat([weight.scales for weight in weights]))

    def dense(self) -> Tensor:
        """The weight that this stands for, [O, I] float32."""
        return self.values.float() * self.scales


def takes_products(values: Tensor) -> bool:
    """Whether torch multiplies with e4m3 weights [O, I] of this shape."""
    return not any(size % _ALIGNMENT for size in values.shape)


def scaled_product(own: Tensor, own_scales: Tensor, values: Tensor, scales: Tensor) -> Tensor:
    """Map e4m3 rows [T, I] with scales [T, 1] to [T, O] bfloat16, by e4m3 weights [O, I] with scales [O, 1]."""
    return F.scaled_mm(
        own, values.t(), own_scales, ScalingType.RowWise, scales.t(), ScalingType.RowWise,
        output_dtype=torch.bfloat16,  # the only one that scales by row come with
    )  # fmt: skip
