"""Quantization methods that are wrong, each in a way of its own."""

import torch
from offered import offered

from plugtron import Component, Options, hookimpl
from plugtron.contracts import QuantizationMethod
from plugtron.quantization.weight import QuantizedWeight


class Bits(Options):
    bits: int = 8


class Right(QuantizationMethod):
    """Whole numbers of some bits, with a scale for each row."""

    forms = (torch.Tensor,)

    def __init__(self, bits):
        self.most = 2 ** (bits - 1) - 1
        self.name = f"rows{bits}"

    @classmethod
    def assemble(cls, parts, options):
        return cls(options.bits)

    def scale(self, weight):
        return weight.float().abs().amax(1, keepdim=True).clamp(min=1e-12) / self.most

    def hold(self, part, weight):
        scale = self.scale(weight)
        return (weight.float() / scale).round() * scale


class OneScale(Right):
    def scale(self, weight):
        return weight.float().abs().max().clamp(min=1e-12) / self.most


class DividesByZero(Right):
    def scale(self, weight):
        return weight.float().abs().amax(1, keepdim=True) / self.most


class Overflows(Right):
    def hold(self, part, weight):
        return super().hold(part, weight * 1000).half().float() / 1000


class TwiceTheScale(Right):
    def hold(self, part, weight):
        return super().hold(part, weight) * 2


class AnotherForm(Right):
    forms = (QuantizedWeight,)


class Transposes(Right):
    def hold(self, part, weight):
        return super().hold(part, weight).T


class Pads(Right):
    """Returns whole groups of rows."""

    def hold(self, part, weight):
        return torch.nn.functional.pad(super().hold(part, weight), (0, 0, 0, -len(weight) % 8))


class HeadsAreOthers(Right):
    def hold(self, part, weight):
        return super().hold(part, weight).T if part == "head" else super().hold(part, weight)


class HoldsByRows(Right):
    """Leaves what has few rows as it is."""

    def hold(self, part, weight):
        return super().hold(part, weight) if len(weight) > 12 else None


class WritesBack(Right):
    def hold(self, part, weight):
        return weight.copy_(super().hold(part, weight))


class LooksAtTypes(Right):
    def hold(self, part, weight):
        return super().hold(part, weight) if weight.dtype == torch.float32 else None


class RoundsTwice(Right):
    """Computes in the type that a weight comes in."""

    def hold(self, part, weight):
        return super().hold(part, weight).to(weight.dtype)


class OneName(Right):
    name = "rows"

    def __init__(self, bits):
        super().__init__(bits)
        self.name = "rows"


class SmallTable(Right):
    """Has room for so many rows."""

    def hold(self, part, weight):
        if len(weight) > 200:
            raise RuntimeError(f"{len(weight)} rows are too many")
        return super().hold(part, weight)


NAMES = offered(globals(), QuantizationMethod)


@hookimpl
def plugtron_quantizations():
    return [
        Component(name=name, target=f"{__name__}:{value}", options=Bits, summary="wrong")
        for name, value in NAMES.items()
    ]
