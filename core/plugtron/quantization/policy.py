"""Which weights are quantized, and how: for every execution and for `convert`, so that all compute the same model."""

from __future__ import annotations

from typing import Literal

from plugtron.quantization.weight import GROUP

__all__ = ["Form", "WeightPart", "form_of"]

#: 4 or 8 bits in groups of inputs, or e4m3 with a scale for each output.
Form = Literal[4, 8, "fp8"]
#: A linear layer's weight, or the head's.
WeightPart = Literal["layer", "head"]
_LAYERS: dict[str, Form] = {"int4": 4, "int8": 8, "fp8": "fp8"}


def form_of(part: WeightPart, quantization: str | None, inputs: int) -> Form | None:
    """Return what a weight with so many inputs is held in; None: it stays as it is.

    The linear layers are quantized as `quantization` says, the head to 8 bits in groups, whose errors reach every
    token. What an embedding looks up stays as it is, and so do weights whose inputs make no whole groups. "as_stored"
    weights are quantized already.
    """
    form = _LAYERS.get(quantization or "")
    if form is None or inputs % GROUP:
        return None
    return 8 if part == "head" else form
