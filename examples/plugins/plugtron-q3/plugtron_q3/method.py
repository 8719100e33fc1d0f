"""Which weights are held in 3 bits."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from plugtron import Options
from plugtron.contracts import HeldWeight, Parts, QuantizationMethod, WeightPart
from plugtron_q3.options import Q3Options
from plugtron_q3.packed import Q3Weight

__all__ = ["Q3"]


class Q3(QuantizationMethod):
    """Holds the layers in 3 bits. The head, whose errors reach every token, stays as it is."""

    forms: ClassVar[tuple[type, ...]] = (Q3Weight,)

    def __init__(self, group: int = 32) -> None:
        self.group = group
        self.name = f"q3 in groups of {group}"

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> Q3:
        """Build from a spec."""
        del parts
        assert isinstance(options, Q3Options)
        return cls(options.group)

    def hold(self, part: WeightPart, weight: Tensor) -> HeldWeight | None:
        """Quantize rows whose inputs make whole groups."""
        if part == "head" or weight.shape[1] % self.group:
            return None
        return Q3Weight.of(weight, self.group)
