"""Weights as a GPU holds them, and how they are multiplied with: by kernels that read them as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from plugtron.kernels.triton.float8_rows import float8_rows
from plugtron.kernels.triton.row_linear import row_linear
from plugtron.kernels.triton.tile_linear import dense, tile_linear
from plugtron.quantization.float8 import Float8Weight, scaled_product, takes_products
from plugtron.quantization.method import HeldWeight
from plugtron.quantization.weight import GROUP, QuantizedWeight

__all__ = ["DeviceWeight", "WeightForm"]

#: What the values of a weight are.
WeightForm: TypeAlias = Literal["int8", "int4", "mxfp4", "fp8", "plain"]

#: From more rows than these on, what a product computes takes longer than reading its weights. Those of 8 bits in
#: floating point are then multiplied as such; others are worth being made dense for torch's product.
_MANY_FLOAT8, _MANY_GROUPED = 64, 256


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceWeight:
    """A weight [O, I] on a device.

    Args:
        format: int8: `values` [O, I] uint8, 128 added; int4, mxfp4: [O, I / 2] uint8, an even input in each byte's low
            half; fp8: [O, I] e4m3; plain: [O, I].
        scales: [O, I / 32] float16 of int8 and int4, uint8 of mxfp4; [O, 1] float32 of fp8; None of plain.
        minimums: [O, I / 32] float16, of int4 where it has them.
        in_order: sums are added up in the same order for any number of rows, at some cost.
    """

    format: WeightForm
    values: Tensor
    scales: Tensor | None = None
    minimums: Tensor | None = None
    in_order: bool = False

    @classmethod
    def grouped(cls, weight: QuantizedWeight, device: torch.device, *, in_order: bool = False) -> DeviceWeight:
        """Pack a weight with groups of 32, and bring it to a device."""
        assert weight.values.shape[1] == weight.scales.shape[1] * GROUP
        values = weight.values
        if weight.bits == 4:
            values = values[:, 0::2] | (values[:, 1::2] << 4)
        four = "mxfp4" if weight.is_mxfp4 else "int4"
        return cls(
            format=four if weight.bits == 4 else "int8",
            values=values.contiguous().to(device),
            scales=weight.scales.to(device),
            minimums=None if weight.minimums is None else weight.minimums.to(device),
            in_order=in_order,
        )

    @classmethod
    def of(cls, held: HeldWeight, weight: Tensor, *, in_order: bool = False) -> DeviceWeight:
        """Bring what a weight is held in to the weight's device; plain values to its dtype, too."""
        if isinstance(held, QuantizedWeight):
            return cls.grouped(held, weight.device, in_order=in_order)
        if isinstance(held, Float8Weight):
            return cls(format="fp8", values=held.values, scales=held.scales, in_order=in_order)
        assert isinstance(held, Tensor), "forms of a plugin's own have been refused"
        return cls(format="plain", values=held.to(weight), in_order=in_order)

    @property
    def shape(self) -> tuple[int, int]:
        """O and I."""
        outputs, width = self.values.shape
        return outputs, width * 2 if self.format in ("int4", "mxfp4") else width

    @property
    def nbytes(self) -> int:
        """Of all of it."""
        return sum(part.nbytes for part in (self.values, self.scales, self.minimums) if part is not None)

    def __call__(self, hidden: Tensor, bias: Tensor | None) -> Tensor:
        """Map [T, I] to [T, O]."""
        rows = len(hidden)
        if self.in_order:
            return self._tiles(hidden, bias)
        if rows == 1 and self.format != "mxfp4":  # which experts alone are held in, as yet
            return row_linear(hidden, self.values, self.scales, self.minimums, bias, format=self.format)
        if self.format == "fp8" and rows > _MANY_FLOAT8 and takes_products(self.values):
            assert self.scales is not None
            product = scaled_product(*float8_rows(hidden), self.values, self.scales).to(hidden.dtype)
            return product if bias is None else product + bias
        if rows > _MANY_GROUPED:
            whole = dense(self.values, self.scales, self.minimums, hidden.dtype, format=self.format)
            return F.linear(hidden, whole, bias)
        return self._tiles(hidden, bias)

    def _tiles(self, hidden: Tensor, bias: Tensor | None) -> Tensor:
        return tile_linear(
            hidden, self.values, self.scales, self.minimums, bias, format=self.format, in_order=self.in_order
        )
