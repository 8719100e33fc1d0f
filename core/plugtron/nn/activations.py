"""The activation functions of feed-forward layers."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from plugtron.nn.config import Activation

__all__ = ["activation"]


def activation(name: Activation) -> Callable[[Tensor], Tensor]:
    """Return the function that a configuration names."""
    return _FUNCTIONS[name]


def _gelu_tanh(hidden: Tensor) -> Tensor:
    return F.gelu(hidden, approximate="tanh")


def _gelu_quick(hidden: Tensor) -> Tensor:
    return hidden * torch.sigmoid(1.702 * hidden)


def _relu_squared(hidden: Tensor) -> Tensor:
    return F.relu(hidden).square()


_FUNCTIONS: dict[Activation, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_tanh": _gelu_tanh,
    "gelu_quick": _gelu_quick,
    "relu": F.relu,
    "relu_squared": _relu_squared,
    "tanh": torch.tanh,
}
