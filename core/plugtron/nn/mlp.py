"""The feed-forward half of a layer."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear
from plugtron.parallel.runtime import Runtime

__all__ = ["GatedMLP"]


class GatedMLP(nn.Module):
    """down(silu(gate(x)) · up(x)) (arXiv:2002.05202). Gate and up are one matrix product."""

    def __init__(self, hidden_size: int, intermediate_size: int, runtime: Runtime, *, bias: bool) -> None:
        super().__init__()
        what = "MLP channels"
        self.gate_up = ColumnParallelLinear.even(
            hidden_size, [intermediate_size, intermediate_size], runtime, what=what, bias=bias
        )
        self.down = RowParallelLinear(intermediate_size, hidden_size, runtime, what=what, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [T, H] to [T, H]."""
        gate, up = self.gate_up(hidden).chunk(2, dim=-1)
        return self.down(F.silu(gate) * up)
