"""Normalization."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from plugtron.nn.config import DecoderConfig
from plugtron.parallel.layers import Part, ShardedModule, parameter
from plugtron.parallel.runtime import Runtime

__all__ = ["LayerNorm", "RMSNorm", "make_norm"]


class RMSNorm(ShardedModule):
    """x / rms(x) · weight over the last axis (arXiv:1910.07467). Every rank holds the whole weight."""

    def __init__(self, width: int, epsilon: float, runtime: Runtime) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = parameter(runtime, width)
        self.parts["weight"] = (Part(shape=(width,)),)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [..., width] to the same shape."""
        return F.rms_norm(hidden, self.weight.shape, self.weight, self.epsilon)


class LayerNorm(ShardedModule):
    """(x - mean(x)) / std(x) · weight + bias over the last axis (arXiv:1607.06450)."""

    def __init__(self, width: int, epsilon: float, runtime: Runtime) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = parameter(runtime, width)
        self.bias = parameter(runtime, width)
        self.parts["weight"] = self.parts["bias"] = (Part(shape=(width,)),)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [..., width] to the same shape."""
        return F.layer_norm(hidden, self.weight.shape, self.weight, self.bias, self.epsilon)


def make_norm(config: DecoderConfig, width: int, runtime: Runtime) -> RMSNorm | LayerNorm:
    """Return a norm of the kind that a decoder has throughout."""
    kind = RMSNorm if config.norm == "rms" else LayerNorm
    return kind(width, config.norm_epsilon, runtime)
