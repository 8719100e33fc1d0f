"""Weights of 4 to 8 bits in groups of inputs that share a scale, and perhaps a minimum.

What the quantizers here make: 4 bits with a minimum, w = q · scale + minimum with q from 0 to 15, as in GGUF's Q4_1; 8
bits without, w = (q - 128) · scale, as in Q8_0. What comes from blocks of those formats is quantized without a loss:
the groups' extremes give back the scale (and minimum) that they were made with. Files have further forms, of 5 or 6
bits, in which scales and minimums are float32 or groups are of 16; and MXFP4 (OCP Microscaling Formats 1.0), numbers of
4 bits in floating point times a power of 2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

__all__ = ["GROUP", "SUPER", "QuantizedWeight", "ScaleCodes", "alike"]

GROUP = 32
#: Inputs that share the factors of `ScaleCodes`.
SUPER = 256
#: What e2m1 stands for, by its 4 bits.
_E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, -0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleCodes:
    """Scales and minimums as some files have them, in small integers: scale = code · factor, minimum = -code · factor.

    Codes [O, I / group] int8, factors [O, I / 256] float16; minimums' are None where there are none.
    """

    scales: Tensor
    factors: Tensor
    minimums: Tensor | None = None
    minimum_factors: Tensor | None = None

    def products(self) -> tuple[Tensor, Tensor | None]:
        """Scales and minimums, [O, I / group] float32, exactly."""
        scales = _product(self.scales, self.factors)
        if self.minimums is None or self.minimum_factors is None:
            return scales, None
        return scales, -_product(self.minimums, self.minimum_factors)

    def mapped(self, change: Callable[[Tensor], Tensor]) -> ScaleCodes:
        """The same with each tensor changed."""
        return ScaleCodes(
            scales=change(self.scales),
            factors=change(self.factors),
            minimums=None if self.minimums is None else change(self.minimums),
            minimum_factors=None if self.minimum_factors is None else change(self.minimum_factors),
        )


def _product(codes: Tensor, factors: Tensor) -> Tensor:
    return (codes.unflatten(1, (factors.shape[1], -1)).float() * factors.float().unsqueeze(2)).flatten(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizedWeight:
    """A weight [O, I] as `values` [O, I] uint8, `scales` [O, I / group], and `minimums` alike or None.

    Groups are of 32, or of 16. Values are of `bits` 4, 5, 6 or 8; without minimums they are signed, and 128 has been
    added. Scales and minimums are float16, or float32. Where scales are uint8 they are exponents of 2 plus 127, and
    values the 4 bits of e2m1. `codes`: what scales and minimums in float32 are the products of, where a file says.
    """

    bits: int
    values: Tensor
    scales: Tensor
    minimums: Tensor | None
    codes: ScaleCodes | None = None

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
        # Each weight's tensors in one order, so that those of all weights can be put together by place.
        parts = zip(*(weight._tensors() for weight in weights), strict=True)
        joined = map(torch.cat, parts)
        return first._mapped(lambda _: next(joined))

    def rows(self, some: slice) -> QuantizedWeight:
        """Some of the rows."""
        return self._mapped(lambda tensor: tensor[some])

    def transformed(self, transform: Callable[[Tensor, int], Tensor], tensor: int) -> QuantizedWeight:
        """The weight after a weight map's transform, which moves rows of [O, anything] and computes nothing."""
        return self._mapped(lambda part: transform(part, tensor))

    def _mapped(self, change: Callable[[Tensor], Tensor]) -> QuantizedWeight:
        """The same with each tensor changed, in the order of `_tensors`."""
        return replace(
            self,
            values=change(self.values),
            scales=change(self.scales),
            minimums=None if self.minimums is None else change(self.minimums),
            codes=None if self.codes is None else self.codes.mapped(change),
        )

    def _tensors(self) -> list[Tensor]:
        found: list[Tensor] = []
        self._mapped(lambda tensor: (found.append(tensor), tensor)[1])
        return found

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
        (
            each.bits,
            each.scales.dtype,
            each.minimums is None,
            each.values.shape[1] // each.scales.shape[1],
            each.codes is None,
        )
        for each in weights
    }
    return len(forms) == 1


def _inverse(scales: Tensor) -> Tensor:
    wide = scales.float().unsqueeze(-1)
    return torch.where(wide == 0, 0.0, 1 / wide)
