"""Weights of 4 or 8 bits in groups of 32 inputs.

A group of 4-bit weights has a scale and a minimum, w = q · scale + minimum with q from 0 to 15, as in GGUF's Q4_1; one
of 8-bit weights a scale, w = q · scale with q from -127 to 127, as in Q8_0. What comes from blocks of those formats is
quantised without a loss: the groups' extremes give back the scale (and minimum) that they were made with.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["GROUP", "QuantisedWeight"]

GROUP = 32
#: Outputs that the native kernels compute side by side.
_LANES = 16
_STEPS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantisedWeight:
    """A weight [O, I] as `values` [O, I] uint8, `scales` [O, I / 32] float16, `minimums` alike (4 bits) or None.

    Values of 8 bits are stored with 128 added.
    """

    bits: int
    values: Tensor
    scales: Tensor
    minimums: Tensor | None

    @classmethod
    def of(cls, weight: Tensor, bits: int) -> QuantisedWeight:
        """Quantise a weight [O, I] float32, I a multiple of 32."""
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

    def dense(self) -> Tensor:
        """The weight that this stands for, [O, I] float32."""
        values = self.values.unflatten(1, (-1, GROUP)).float()
        scales = self.scales.float().unsqueeze(-1)
        if self.minimums is None:
            return ((values - 128) * scales).flatten(1)
        return (values * scales + self.minimums.float().unsqueeze(-1)).flatten(1)

    def packed(self) -> Tensor:
        """The weight in the order of the native kernels (kernels/native/linear.h), [bytes] uint8."""
        outputs, inputs = self.values.shape
        missing = -outputs % _LANES
        groups = inputs // GROUP

        def blocks(tensor: Tensor) -> Tensor:
            padded = torch.cat([tensor, tensor.new_zeros(missing, tensor.shape[1])]) if missing else tensor
            return padded.unflatten(0, (-1, _LANES))

        # Blocks, groups, steps, lanes, and the four inputs of each.
        values = blocks(self.values).unflatten(2, (groups, _STEPS, 4)).permute(0, 2, 3, 1, 4).flatten(3)
        if self.bits == 4:
            values = values[:, :, 0::2] | (values[:, :, 1::2] << 4)
        tails = [_bytes(blocks(tensor)) for tensor in (self.scales, self.minimums) if tensor is not None]
        return torch.cat([values.flatten(2), *tails], dim=2).flatten().contiguous()


def _bytes(halves: Tensor) -> Tensor:
    """[blocks, lanes, groups] float16 as [blocks, groups, 2 * lanes] bytes."""
    return halves.transpose(1, 2).contiguous().view(torch.uint8)


def _inverse(scales: Tensor) -> Tensor:
    wide = scales.float().unsqueeze(-1)
    return torch.where(wide == 0, 0.0, 1 / wide)
