"""Quantization methods: which weights are held in which form, the same for every execution and for `convert`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from plugtron.errors import PluginError
from plugtron.quantization.float8 import Float8Weight
from plugtron.quantization.packed_weight import PackedWeight
from plugtron.quantization.weight import QuantizedWeight

__all__ = ["HeldWeight", "QuantizationMethod", "WeightPart", "dense", "has_own_forms", "hold_all", "hold_rows"]

#: What a weight is held in. A plain tensor holds the values that quantizing leaves, in any dtype.
HeldWeight: TypeAlias = QuantizedWeight | Float8Weight | PackedWeight | Tensor
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


def has_own_forms(method: QuantizationMethod | None) -> bool:
    """Whether a method holds weights in forms of its own, which torch alone multiplies with."""
    return method is not None and any(issubclass(form, PackedWeight) for form in method.forms)


def hold_rows(method: QuantizationMethod, part: WeightPart, rows: Tensor) -> HeldWeight | None:
    """Quantize some rows [R, I], and see whether the method keeps its word.

    Raises:
        PluginError: it returns a form that it does not declare, or another shape.
    """
    held = method.hold(part, rows)
    if held is None:
        return None
    if not isinstance(held, method.forms):
        declared = ", ".join(form.__name__ for form in method.forms)
        raise PluginError(f"quantization {method.name}: it holds weights in {type(held).__name__}, not in {declared}")
    shape = held.shape if isinstance(held, Tensor | PackedWeight) else held.values.shape
    if shape != rows.shape:
        raise PluginError(f"quantization {method.name}: it made {tuple(shape)} of a weight {tuple(rows.shape)}")
    return held


def hold_all(
    method: QuantizationMethod | None, part: WeightPart, weight: Tensor, rows: int = 8192
) -> HeldWeight | None:
    """Quantize a weight [O, I], `rows` at a time: what that takes in between is in float32.

    Raises:
        PluginError: as `hold_rows`, or its rows are held in different forms.
    """
    if method is None:
        return None
    pieces = [hold_rows(method, part, piece) for piece in weight.split(rows)]
    if len({type(piece) for piece in pieces}) > 1:
        raise PluginError(f"quantization {method.name}: it holds the rows of one weight in different forms")
    if pieces[0] is None or len(pieces) == 1:
        return pieces[0]
    quantized = [piece for piece in pieces if isinstance(piece, QuantizedWeight)]
    if quantized:
        return QuantizedWeight.stacked(quantized)
    packed = [piece for piece in pieces if isinstance(piece, PackedWeight)]
    if packed:
        return type(packed[0]).stacked(packed)
    float8 = [piece for piece in pieces if isinstance(piece, Float8Weight)]
    return (
        Float8Weight.stacked(float8) if float8 else torch.cat([piece for piece in pieces if isinstance(piece, Tensor)])
    )


def dense(held: HeldWeight) -> Tensor:
    """The weight that a form stands for, [O, I]."""
    return held if isinstance(held, Tensor) else held.dense()
