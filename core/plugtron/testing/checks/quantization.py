"""What a quantization method has to keep to."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any, ClassVar

import torch

from plugtron.contracts import QuantizationMethod
from plugtron.errors import PlugtronError
from plugtron.plugin.component import Kind
from plugtron.quantization.method import WeightPart, dense, hold_all
from plugtron.request import SamplingParams
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.checks.generation import PROMPTS, answers
from plugtron.testing.host import Host

__all__ = ["QuantizationChecks"]

_SIZES = ((1, 32), (7, 64), (64, 96), (33, 100), (5, 1), (130, 160))


class QuantizationChecks(ComponentChecks):
    """Every method passes these.

    Attributes:
        error: how far what it holds may be from a weight of normal numbers, as the root mean square of the difference
            over that of the weight.
        other_options: options under which it must have another name, because it holds something else.
        shapes: models that are run with it, of `plugtron.testing.SHAPES`.
    """

    kind: ClassVar[Kind] = Kind.QUANTIZATION
    error: ClassVar[float] = 0.25
    other_options: ClassVar[Sequence[Mapping[str, Any]]] = ()
    shapes: ClassVar[Sequence[str]] = ("plain", "odd")

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[QuantizationMethod]:
        """The method, as a run has it."""
        method = host.options(cls._values(host, model("plain"), "eager")).quantization
        assert method is not None
        yield method

    @classmethod
    def _values(cls, host: Host, folder: Path, execution: str, **options: Any) -> dict[str, Any]:
        chosen = cls.reference(host)
        chosen["options"] |= options
        model = {"checkpoint": str(folder), "dtype": "float32", "quantization": chosen}
        return {"model": model, "execution": execution}

    def test_keeps_its_word(self, plugtron_subject: QuantizationMethod) -> None:
        """What it makes is in a form it declares, of the weight's shape, or None; of odd sizes, too."""
        parts: tuple[WeightPart, ...] = ("layer", "head")
        for part, size in product(parts, _SIZES):
            try:
                hold_all(plugtron_subject, part, _weight(size))
            except PlugtronError as error:
                refuse(f"{part} {size}: {error}")

    def test_is_close(
        self, plugtron_subject: QuantizationMethod, record_property: Callable[[str, object], None]
    ) -> None:
        """What it holds is near what it was given."""
        for size in _SIZES:
            weight = _weight(size)
            held = hold_all(plugtron_subject, "layer", weight)
            if held is None:
                continue
            difference = float((dense(held).float() - weight).square().mean().sqrt() / weight.square().mean().sqrt())
            record_property(f"error {size}", round(difference, 4))
            if not difference <= self.error:
                refuse(f"{size}: it is off by {difference:.3f} of the weight (accepted: {self.error})")

    def test_rows_are_independent(self, plugtron_subject: QuantizationMethod) -> None:
        """A row's result does not depend on the rows beside it: weights are handed over in pieces."""
        for size in _SIZES:
            weight = _weight(size)
            whole = hold_all(plugtron_subject, "layer", weight)
            for first in range(0, size[0], 13):
                piece = hold_all(plugtron_subject, "layer", weight[first : first + 13])
                if (whole is None) != (piece is None):
                    refuse(f"{size}: whether a weight is held depends on how many rows are handed over")
                if (
                    whole is not None
                    and piece is not None
                    and not torch.equal(dense(whole)[first : first + 13], dense(piece))
                ):
                    refuse(f"{size}: rows {first} to {first + 12} become something else by themselves")

    def test_special_numbers(self, plugtron_subject: QuantizationMethod) -> None:
        """Rows of zeros stay zeros, and one large number makes nothing infinite."""
        weight = torch.zeros(8, 64)
        weight[3, 5] = 1e4
        held = hold_all(plugtron_subject, "layer", weight)
        if held is not None and (not dense(held).isfinite().all() or dense(held)[:3].any()):
            refuse("a row of zeros does not stay zeros, or a large number becomes infinite or NaN")

    def test_changes_nothing(self, plugtron_subject: QuantizationMethod) -> None:
        """The weight that it is handed stays as it is, and gives the same again, in bfloat16 as in float32."""
        weight = _weight((16, 64)).bfloat16().float()
        before = weight.clone()
        first = hold_all(plugtron_subject, "layer", weight)
        if not torch.equal(weight, before):
            refuse("hold writes into the weight it is given")
        again = hold_all(plugtron_subject, "layer", before.bfloat16())
        if (first is None) != (again is None):
            refuse("whether a weight is held depends on the dtype it comes in")
        if first is not None and again is not None and not torch.equal(dense(first).float(), dense(again).float()):
            refuse("the same numbers are held otherwise when they come in bfloat16")

    def test_names(
        self, plugtron_host: Host, plugtron_model: Callable[[str], Path], plugtron_subject: QuantizationMethod
    ) -> None:
        """Other options, another name: packed weights are kept by it."""
        for options in self.other_options:
            values = self._values(plugtron_host, plugtron_model("plain"), "eager", **options)
            method = plugtron_host.options(values).quantization
            if method is not None and method.name == plugtron_subject.name:
                refuse(f"with {options} its name is {method.name!r}, too, though it holds something else")

    def test_runs(self, plugtron_host: Host, plugtron_model: Callable[[str], Path]) -> None:
        """Models answer with it in every execution that has kernels for its forms, and eagerly in any case."""
        params = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
        for shape in self.shapes:
            for execution in ("eager", "auto"):
                with plugtron_host.session(self._values(plugtron_host, plugtron_model(shape), execution)) as session:
                    for request in answers(session, PROMPTS, params):
                        if request.error is not None:
                            refuse(f"model {shape!r}, execution {execution}: {request.error}")


def _weight(size: tuple[int, int]) -> torch.Tensor:
    return torch.randn(size, generator=torch.Generator().manual_seed(size[0] * size[1]))
