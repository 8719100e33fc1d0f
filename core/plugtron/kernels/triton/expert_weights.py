"""The weights of a mixture's experts as a GPU holds them: those of all experts together, read as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plugtron.kernels.triton.device_weight import DeviceWeight, WeightForm
from plugtron.kernels.triton.expert_linear import expert_linear
from plugtron.quantization.method import HeldWeight

__all__ = ["ExpertWeights"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertWeights:
    """Weights [E, O, I]: the parts of `DeviceWeight`, with an axis for the experts before theirs."""

    format: WeightForm
    values: Tensor
    scales: Tensor | None = None
    minimums: Tensor | None = None

    @classmethod
    def of(cls, held: Sequence[HeldWeight], weights: Tensor) -> ExpertWeights:
        """Bring what each expert's weight is held in, all in one form, to the device of `weights`."""
        each = [DeviceWeight.of(own, weights) for own in held]
        scales = [own.scales for own in each if own.scales is not None]
        minimums = [own.minimums for own in each if own.minimums is not None]
        return cls(
            format=each[0].format,
            values=torch.stack([own.values for own in each]),
            scales=torch.stack(scales) if scales else None,
            minimums=torch.stack(minimums) if minimums else None,
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """E, O and I."""
        count, outputs, width = self.values.shape
        return count, outputs, width * 2 if self.format in ("int4", "mxfp4") else width

    @property
    def nbytes(self) -> int:
        """Of all of it."""
        return sum(part.nbytes for part in (self.values, self.scales, self.minimums) if part is not None)

    def __call__(self, x: Tensor, rows: Tensor | None, tiles: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply each row with its expert's weight; see `expert_linear`."""
        return expert_linear(x, rows, tiles, self.values, self.scales, self.minimums, bias, format=self.format)
