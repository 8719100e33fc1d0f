"""plugtron's own quantization methods.

All of them hold the head in 8 bits in groups, because its errors reach every token, and leave what an embedding looks
up as it is, and weights whose inputs make no whole groups.
"""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from plugtron.quantization.float8 import Float8Weight
from plugtron.quantization.method import HeldWeight, QuantizationMethod, WeightPart
from plugtron.quantization.weight import GROUP, QuantizedWeight

__all__ = ["AsStored", "Float8", "Grouped"]

_HEAD_BITS = 8


class Grouped(QuantizationMethod):
    """Linear layers of 4 or 8 bits, in groups of 32 inputs."""

    forms: ClassVar[tuple[type, ...]] = (QuantizedWeight,)

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.name = f"int{bits}"

    def hold(self, part: WeightPart, weight: Tensor) -> HeldWeight | None:
        """Quantize rows."""
        if weight.shape[1] % GROUP:
            return None
        return QuantizedWeight.of(weight, _HEAD_BITS if part == "head" else self.bits)


class Float8(QuantizationMethod):
    """Linear layers in e4m3, with a scale for each output."""

    name = "fp8"
    forms: ClassVar[tuple[type, ...]] = (Float8Weight, QuantizedWeight)

    def hold(self, part: WeightPart, weight: Tensor) -> HeldWeight | None:
        """Quantize rows."""
        if weight.shape[1] % GROUP:
            return None
        return QuantizedWeight.of(weight, _HEAD_BITS) if part == "head" else Float8Weight.of(weight)


class AsStored(QuantizationMethod):
    """The blocks of a GGUF file, or of what `plugtron convert` wrote, as they are; other weights are not quantized."""

    name = "as_stored"
    forms: ClassVar[tuple[type, ...]] = (QuantizedWeight,)
    reads_stored: ClassVar[bool] = True

    def hold(self, part: WeightPart, weight: Tensor) -> HeldWeight | None:
        """Leave what is not stored in blocks as it is."""
        del part, weight
