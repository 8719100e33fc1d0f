"""Learned position embeddings."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from plugtron.nn.config import DecoderConfig
from plugtron.parallel.layers import Part, ShardedModule, parameter
from plugtron.parallel.runtime import Runtime

__all__ = ["LearnedPositions"]


class LearnedPositions(ShardedModule):
    """One vector per position, added to that of the token. Every rank holds the whole table."""

    def __init__(self, config: DecoderConfig, runtime: Runtime) -> None:
        super().__init__()
        shape = config.learned_positions, config.hidden_size
        self.weight = parameter(runtime, *shape)
        self.parts["weight"] = (Part(shape=shape),)

    def forward(self, positions: Tensor) -> Tensor:
        """Map positions [T] to vectors [T, H]."""
        return F.embedding(positions, self.weight)
