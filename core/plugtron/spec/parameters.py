"""Checking the sampling parameters of a spec against what the chosen parts consume."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from plugtron import messages
from plugtron.component import Component
from plugtron.errors import Problem, RequestError, suggestion
from plugtron.sampling_params import SamplingParams
from plugtron.spec.load import Place, Source

__all__ = ["check_parameters"]


def check_parameters(source: Source, components: Sequence[Component]) -> list[Problem]:
    """Check `sampling` and the parameters of each prompt: known, in range, and consumed by some part."""
    models = [component.params for component in components if component.params is not None]
    return [problem for place, values in _sections(source) for problem in _check(source, place, values, models)]


def _sections(source: Source) -> Iterator[tuple[Place, dict[str, Any]]]:
    yield ("sampling",), source.values.get("sampling") or {}
    prompts = source.values.get("prompts")
    for index, prompt in enumerate(prompts if isinstance(prompts, list) else []):
        if isinstance(prompt, dict):
            yield ("prompts", index, "sampling"), prompt.get("sampling") or {}


def _check(
    source: Source, place: Place, values: dict[str, Any], models: Iterable[type[BaseModel]]
) -> Iterator[Problem]:
    consumed = {name: model for model in models for name in model.model_fields}
    standard = SamplingParams.standard_names()
    for name, value in values.items():
        if name not in standard and name not in consumed:
            known = sorted({*standard, *consumed})
            yield source.problem((*place, name), f"no such parameter.{suggestion(name, known)}")
        elif name not in consumed and value is not None and not (name == "temperature" and value == 0):
            text = f"no part of this run uses it (in use: {', '.join(sorted(consumed))})"
            yield source.problem((*place, name), text)
    yield from _values(source, place, {name: values[name] for name in values if name in standard}, SamplingParams)
    for model in dict.fromkeys(model for name, model in consumed.items() if name not in standard):
        own = {name: values[name] for name in model.model_fields if name in values and name not in standard}
        yield from _values(source, place, own, model)


def _values(source: Source, place: Place, values: dict[str, Any], model: type[BaseModel]) -> Iterator[Problem]:
    try:
        model.model_validate(values)
    except ValidationError as error:
        for location, text in messages.describe(error, model, values):
            yield source.problem((*place, *location), text)
    except RequestError as error:
        yield source.problem(place, str(error))
