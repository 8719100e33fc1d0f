"""Normalisation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from plugtron.parallel.layers import Part, ShardedModule, parameter
from plugtron.parallel.runtime import Runtime

__all__ = ["RMSNorm"]


class RMSNorm(ShardedModule):
    """x / rms(x) · weight over the last axis (arXiv:1910.07467). Every rank holds the whole weight."""

    def __init__(self, width: int, epsilon: float, runtime: Runtime) -> None:
        super().__init__()
        self._epsilon = epsilon
        self.weight = parameter(runtime, width)
        self.parts["weight"] = (Part(shape=(width,)),)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [..., width] to the same shape."""
        return F.rms_norm(hidden, self.weight.shape, self.weight, self._epsilon)
