"""Weights of 4 or 8 bits in groups of inputs that share a scale, and perhaps a minimum.

What the quantizers here make: 4 bits with a minimum, w = q · scale + minimum with q from 0 to 15, as in GGUF's Q4_1; 8
bits without, w = (q - 128) · scale, as in Q8_0. What comes from blocks of those formats is quantized without a loss:
the groups' extremes give back the scale (and minimum) that they were made with. Files have further forms, in which
scales and minimums are float32 or groups are of 16; and MXFP4 (OCP Microscaling Formats 1.0), numbers of 4 bits in
floating point times a power of 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["GROUP", "QuantizedWeight", "alike"]

GROUP = 32
#: What e2m1 stands for, by its 4 bits.
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedWeight:
    """A weight [O, I] as `values` [O, I] uint8, `scales` [O, I / group], and `minimums` alike or None.

    Groups are of 32, or of 16. Without minimums, 128 has been added to the values. Scales and minimums are float16, or
    float32. Where scales are uint8 they are exponents of 2 plus 127, and values the 4 bits of e2m1.
    """

    bits: int
    values: Tensor
    scales: Tensor
    minimums: Tensor | None

    @classmethod
    def of(cls, weight: Tensor, bits: int) -> QuantizedWeight:
        """Quantize a weight [O, I] float32, I a multiple of 32."""
        groups = weight.float().unflatten(1, (-1, GROUP))
        if bits == 4:
            low, high = groups.amin(-1), groups.amax(-1)
            scales, minimums = ((high - low) / 15).half(), low.half()
            shifted = groups - minimums.float().unsqueeze(-1)
            values = (shifted * _inverse(scales)).round().clamp(0, 15)
        else:
            minimums = None
            scales = (groups.abs().amax(-1) / 127).half()
            values = (groups * _inverse(scales)).round().clamp(-127, 127) + 128
        return cls(bits=bits, values=values.to(torch.uint8).flatten(1), scales=scales, minimums=minimums)

    @property
    def is_mxfp4(self) -> bool:
        """Whether values are the 4 bits of e2m1."""
        return self.scales.dtype == torch.uint8

    @classmethod
    def stacked(cls, weights: Sequence[QuantizedWeight]) -> QuantizedWeight:
        """The rows of several weights of one format, one after the other."""
        first, *others = weights
        if not others:
            return first
        lows = [weight.minimums for weight in weights if weight.minimums is not None]
        return cls(
            bits=first.bits,
            values=torch.cat([weight.values for weight in weights]),
            scales=torch.cat([weight.scales for weight in weights]),
            minimums=torch.cat(lows) if lows else None,
        )

    def rows(self, some: slice) -> QuantizedWeight:
        """Some of the rows."""
        minimums = None if self.minimums is None else self.minimums[some]
        return replace(self, values=self.values[some], scales=self.scales[some], minimums=minimums)

    def transformed(self, transform: Callable[[Tensor, int], Tensor], tensor: int) -> QuantizedWeight:
        """The weight after a weight map's transform, which moves rows of [O, anything] and computes nothing."""
        return QuantizedWeight(
            bits=self.bits,
            values=transform(self.values, tensor),
            scales=transform(self.scales, tensor),
            minimums=None if self.minimums is None else transform(self.minimums, tensor),
        )

    def dense(self) -> Tensor:
        """The weight that this stands for, [O, I] float32."""
        if self.is_mxfp4:
            numbers = torch.tensor(_E2M1)[self.values.int()].unflatten(1, (-1, GROUP))
            return torch.ldexp(numbers, self.scales.int().unsqueeze(-1) - 127).flatten(1)
        values = self.values.unflatten(1, (self.scales.shape[1], -1)).float()
        scales = self.scales.float().unsqueeze(-1)
        if self.minimums is None:
            return ((values - 128) * scales).flatten(1)
        return (values * scales + self.minimums.float().unsqueeze(-1)).flatten(1)


def alike(weights: Sequence[QuantizedWeight]) -> bool:
    """Whether weights are of one form, and differ in nothing but their numbers."""
    forms = {
        (each.bits, each.scales.dtype, each.minimums is None, each.values.shape[1] // each.scales.shape[1])
        for each in weights
    }
    return len(forms) == 1


def _inverse(scales: Tensor) -> Tensor:
    wide = scales.float().unsqueeze(-1)
    return torch.where(wide == 0, 0.0, 1 / wide)
