"""Forms of quantized weights that come with a plugin: how they are kept, and how torch multiplies with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Self

import torch.nn.functional as F
from torch import Tensor

__all__ = ["PackedWeight"]


class PackedWeight(ABC):
    """A weight [O, I] in a form of a plugin's own. Steps that torch runs keep it so, and multiply with it.

    To a layer it is a `plugtron.parallel.LinearMethod`. No compiled kernels know it: with `execution: auto` a run takes
    `eager`.
    """

    @property
    @abstractmethod
    def shape(self) -> tuple[int, int]:
        """O and I."""

    @property
    @abstractmethod
    def nbytes(self) -> int:
        """What it takes in memory."""

    @abstractmethod
    def dense(self) -> Tensor:
        """The weight that this stands for, [O, I] float32, on its device."""

    @classmethod
    @abstractmethod
    def stacked(cls, weights: Sequence[Any]) -> Self:
        """The rows of several weights of this class, one after the other: a weight is quantized in pieces."""

    def __call__(self, hidden: Tensor, bias: Tensor | None) -> Tensor:
        """Map [T, I] to [T, O]; here through the dense weight, which is there for this product alone."""
        return F.linear(hidden, self.dense().to(hidden.dtype), bias)
