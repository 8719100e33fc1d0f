"""Weights as they are after quantizing, for products in torch."""

from __future__ import annotations

import torch
from torch import Tensor

from plugtron.nn.experts import Experts
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear, VocabParallelHead
from plugtron.quantization.method import HeldWeight, QuantizationMethod, WeightPart, dense, hold_all

__all__ = ["quantized_part", "round_experts", "rounded"]


def quantized_part(module: torch.nn.Module) -> WeightPart | None:
    """What part of a decoder a module's weight is, for quantization; None: it is never quantized."""
    if isinstance(module, VocabParallelHead):
        return "head"
    return "layer" if isinstance(module, ColumnParallelLinear | RowParallelLinear) else None


def round_experts(method: QuantizationMethod | None, experts: Experts) -> None:
    """Replace experts' weights by what quantizing leaves of them."""
    for weights in (experts.into.data, experts.down.data):
        for weight in weights:
            held = rounded(method, "layer", weight)
            if held is not None:
                weight.copy_(held)


def rounded(method: QuantizationMethod | None, part: WeightPart | None, weight: Tensor) -> Tensor | None:
    """What quantizing leaves of a weight, in its dtype; None: it stays as it is."""
    held: HeldWeight | None = None if part is None else hold_all(method, part, weight)
    return None if held is None else dense(held).to(weight.dtype)
