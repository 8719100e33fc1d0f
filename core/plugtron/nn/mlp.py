"""The feed-forward half of a layer."""

from __future__ import annotations

from torch import Tensor, nn

from plugtron.nn.activations import Activation
from plugtron.nn.config import DecoderConfig
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear
from plugtron.parallel.runtime import Runtime

__all__ = ["MLP", "GatedMLP"]

_WHAT = "MLP channels"


class GatedMLP(nn.Module):
    """down(act(gate(x)) · up(x)) (arXiv:2002.05202). Gate and up are one matrix product."""

    def __init__(self, config: DecoderConfig, size: int, runtime: Runtime) -> None:
        super().__init__()
        self.activation = Activation(config.activation)
        hidden, bias = config.hidden_size, config.mlp_bias
        self.gate_up = ColumnParallelLinear.even(hidden, [size, size], runtime, what=_WHAT, bias=bias)
        self.down = RowParallelLinear(size, hidden, runtime, what=_WHAT, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [T, H] to [T, H]."""
        gate, up = self.gate_up(hidden).chunk(2, dim=-1)
        return self.down(self.activation(gate) * up)


class MLP(nn.Module):
    """down(act(up(x)))."""

    def __init__(self, config: DecoderConfig, size: int, runtime: Runtime) -> None:
        super().__init__()
        self.activation = Activation(config.activation)
        hidden, bias = config.hidden_size, config.mlp_bias
        self.up = ColumnParallelLinear.even(hidden, [size], runtime, what=_WHAT, bias=bias)
        self.down = RowParallelLinear(size, hidden, runtime, what=_WHAT, bias=bias)

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [T, H] to [T, H]."""
        return self.down(self.activation(self.up(hidden)))


def make_mlp(config: DecoderConfig, size: int, runtime: Runtime) -> GatedMLP | MLP:
    """Return an MLP of the kind that a decoder has throughout, `size` channels wide."""
    return GatedMLP(config, size, runtime) if config.gated else MLP(config, size, runtime)
