"""Normalization of channels that the ranks share."""

from __future__ import annotations

import torch
from torch import Tensor

from plugtron.parallel.layers import Part, Rows, ShardedModule, parameter
from plugtron.parallel.runtime import Runtime

__all__ = ["RMSNormOverRanks"]


class RMSNormOverRanks(ShardedModule):
    """x / rms(x) · weight, x being the channels of all ranks: they add up their squares.

    Where several ranks hold the same channels, each has to be on equally many.

    Args:
        channels: those of this rank, and how many there are.
    """

    def __init__(self, channels: Rows, epsilon: float, runtime: Runtime) -> None:
        super().__init__()
        self._group = runtime.tensor
        self._epsilon = epsilon
        self.weight = parameter(runtime, channels.count)
        source = slice(channels.start, channels.start + channels.count)
        self.parts["weight"] = (Part(shape=(channels.total,), source=(source,)),)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map this rank's channels, [T, C], to the same shape."""
        wide = hidden.float()
        squares = self._group.all_reduce(wide.square().sum(-1, keepdim=True))
        scale = torch.rsqrt(squares / (self._group.size * hidden.shape[-1]) + self._epsilon)
        return (wide * scale * self.weight.float()).to(hidden.dtype)
