"""Quantization methods: which weights are held in which form, the same for every execution and for `convert`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from plugtron.quantization.float8 import Float8Weight
from plugtron.quantization.weight import QuantizedWeight

__all__ = ["HeldWeight", "QuantizationMethod", "WeightPart", "dense", "hold_all"]

#: What a weight is held in. A plain tensor holds the values that quantizing leaves, in any dtype.
HeldWeight: TypeAlias = QuantizedWeight | Float8Weight | Tensor
#: A linear layer's weight, or the head's. What an embedding looks up is never quantized.
WeightPart: TypeAlias = Literal["layer", "head"]


class QuantizationMethod(ABC):
    """Says how the weights of a run are held.

    Attributes:
        name: what messages and the cache of packed weights call it; different options, different names.
        forms: the kinds of HeldWeight that `hold` returns; executions refuse those that they have no kernels for.
        reads_stored: blocks that a checkpoint holds are used as they are, where there are some.
    """

    name: str
    forms: ClassVar[tuple[type, ...]]
    reads_stored: ClassVar[bool] = False

    @abstractmethod
    def hold(self, part: WeightPart, weight: Tensor) -> HeldWeight | None:
        """Quantize some rows [R, I] of a weight; None where it stays as it is.

        A row's result depends on that row alone, and its form on `part` and I alone: a weight is handed over in pieces.
        """


def hold_all(
    method: QuantizationMethod | None, part: WeightPart, weight: Tensor, rows: int = 8192
) -> HeldWeight | None:
    """Quantize a weight [O, I], `rows` at a time: what that takes in between is in float32."""
    if method is None:
        return None
    first, *others = weight.split(rows)
    held = method.hold(part, first)
    if held is None or not others:
        return held
    pieces = [held, *(method.hold(part, piece) for piece in others)]
    quantized = [piece for piece in pieces if isinstance(piece, QuantizedWeight)]
    if quantized:
        return QuantizedWeight.stacked(quantized)
    float8 = [piece for piece in pieces if isinstance(piece, Float8Weight)]
    return (
        Float8Weight.stacked(float8) if float8 else torch.cat([piece for piece in pieces if isinstance(piece, Tensor)])
    )


def dense(held: HeldWeight) -> Tensor:
    """The weight that a form stands for, [O, I]."""
    return held if isinstance(held, Tensor) else held.dense()
