"""Weights of 3 bits: 8 of them in 3 bytes, and for each group of inputs a scale and a minimum in float16."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from plugtron.contracts import PackedWeight

__all__ = ["Q3Weight", "pack", "unpack"]

#: The largest value of 3 bits.
_MOST = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Q3Weight(PackedWeight):
    """w = q · scale + minimum, q from 0 to 7.

    Shapes: values [O, I · 3 / 8] uint8; scales and minimums [O, I / group] float16.
    """

    values: Tensor
    scales: Tensor
    minimums: Tensor

    @classmethod
    def of(cls, weight: Tensor, group: int) -> Q3Weight:
        """Quantize a weight [O, I]; I is a multiple of the group, and a group of 8."""
        groups = weight.float().unflatten(1, (-1, group))
        low, high = groups.amin(-1), groups.amax(-1)
        scales, minimums = ((high - low) / _MOST).half(), low.half()
        step = scales.float().unsqueeze(-1)
        levels = (groups - minimums.float().unsqueeze(-1)) / step.where(step > 0, 1.0)
        values = levels.round().clamp(0, _MOST).to(torch.uint8)
        return cls(values=pack(values.flatten(1)), scales=scales, minimums=minimums)

    @classmethod
    def stacked(cls, weights: Sequence[Q3Weight]) -> Q3Weight:
        """The rows of several weights, one after the other."""
        return cls(
            values=torch.cat([weight.values for weight in weights]),
            scales=torch.cat([weight.scales for weight in weights]),
            minimums=torch.cat([weight.minimums for weight in weights]),
        )

    @property
    def shape(self) -> tuple[int, int]:
        """O and I."""
        return len(self.values), self.values.shape[1] // 3 * 8

    @property
    def nbytes(self) -> int:
        """Of values, scales and minimums."""
        return self.values.nbytes + self.scales.nbytes + self.minimums.nbytes

    def dense(self) -> Tensor:
        """The weight that this stands for, [O, I] float32."""
        values = unpack(self.values).unflatten(1, (self.scales.shape[1], -1)).float()
        return (values * self.scales.float().unsqueeze(-1) + self.minimums.float().unsqueeze(-1)).flatten(1)


def pack(values: Tensor) -> Tensor:
    """Put values [O, I] below 8 into [O, I · 3 / 8] bytes: the first of 8 has the lowest bits of 24."""
    places = torch.arange(0, 24, 3, device=values.device)
    words = (values.unflatten(1, (-1, 8)).int() << places.int()).sum(-1, dtype=torch.int32)
    return torch.stack([words >> shift & 255 for shift in (0, 8, 16)], dim=-1).to(torch.uint8).flatten(1)


def unpack(packed: Tensor) -> Tensor:
    """The values [O, I] that `pack` was given."""
    low, middle, high = packed.unflatten(1, (-1, 3)).int().unbind(-1)
    words = low | middle << 8 | high << 16
    return torch.stack([words >> place & 7 for place in range(0, 24, 3)], dim=-1).to(torch.uint8).flatten(1)
