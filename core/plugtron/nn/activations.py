"""The activation functions of feed-forward layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugtron.nn.config import ActivationName

__all__ = ["Activation"]


class Activation(nn.Module):
    """A function of every channel by itself.

    Args:
        name: as a configuration has it.
    """

    def __init__(self, name: ActivationName) -> None:
        super().__init__()
        self.name = name
        self._function = _FUNCTIONS[name]

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [..., C] to the same shape."""
        return self._function(hidden)


def _gelu_tanh(hidden: Tensor) -> Tensor:
    return F.gelu(hidden, approximate="tanh")


def _gelu_quick(hidden: Tensor) -> Tensor:
    return hidden * torch.sigmoid(1.702 * hidden)


def _relu_squared(hidden: Tensor) -> Tensor:
    return F.relu(hidden).square()


_FUNCTIONS: dict[ActivationName, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": _gelu_tanh,
    "gelu_quick": _gelu_quick,
    "relu": F.relu,
    "relu_squared": _relu_squared,
    "tanh": torch.tanh,
}
