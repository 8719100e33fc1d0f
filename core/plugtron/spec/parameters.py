"""Checking the sampling parameters of a spec against what the chosen parts consume."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError

from plugtron.errors import Problem, RequestError, suggestion
from plugtron.plugin.declared_needs import unmet_needs
from plugtron.plugin.parameters import shared_parameters
from plugtron.request.sampling_params import SamplingParams
from plugtron.spec.load import Place, Source
from plugtron.spec.model import Spec
from plugtron.spec.resolved import ResolvedComponent
from plugtron.spec.words import hint as hint_of
from plugtron.utils import validation

__all__ = ["check_parameters", "check_shared"]


def check_parameters(
    source: Source, models: Sequence[type[BaseModel]], *, complete: bool, supplier: Callable[[str], str]
) -> list[Problem]:
    """Check `sampling` and the parameters of each prompt: known, in range, and consumed by some part.

    Args:
        models: what the chosen parts consume. Unless they are `complete`, one that is missing may be what knows or
            consumes a parameter; then only what is surely wrong is reported.
        supplier: says which part that was not chosen would consume a parameter, or nothing.
    """
    found = [
        problem
        for place, values in _sections(source)
        for problem in _check(source, place, values, models, complete, supplier)
    ]
    return found or list(_check_needs(source, models))


def _check_needs(source: Source, models: Sequence[type[BaseModel]]) -> Iterator[Problem]:
    """Say of parameters that change nothing for a prompt, with what holds for all prompts, that they do not."""
    prompts = source.values.get("prompts")
    owned = dict(_sections(source))
    common = owned.get(("sampling",), {})
    reported: set[Place] = set()
    for index in range(len(prompts) if isinstance(prompts, list) else 0):
        place: Place = ("prompts", index, "sampling")
        own = owned.get(place, {})
        for model in models:
            for name, text in unmet_needs(model, {**common, **own}):
                where = (*(place if name in own else ("sampling",)), name)
                if where not in reported:
                    reported.add(where)
                    yield source.problem(where, text)


def _sections(source: Source) -> Iterator[tuple[Place, dict[str, Any]]]:
    sampling = source.values.get("sampling")
    if isinstance(sampling, dict):
        yield ("sampling",), sampling
    prompts = source.values.get("prompts")
    for index, prompt in enumerate(prompts if isinstance(prompts, list) else []):
        if isinstance(prompt, dict) and isinstance(prompt.get("sampling"), dict):
            yield ("prompts", index, "sampling"), prompt["sampling"]


def _check(
    source: Source,
    place: Place,
    values: dict[str, Any],
    models: Iterable[type[BaseModel]],
    complete: bool,
    supplier: Callable[[str], str],
) -> Iterator[Problem]:
    consumed = {name: model for model in models for name in model.model_fields}
    standard = SamplingParams.accepted_names()
    for name, value in values.items():
        if name not in standard and name not in consumed:
            supplied = supplier(str(name)) if complete else ""
            hint = supplied or _hint(str(name), source) or suggestion(str(name), sorted({*standard, *consumed}))
            if complete or hint:
                text = "no part of this run uses it." if supplied else "no such parameter."
                yield source.problem((*place, name), f"{text}{hint}")
        elif (
            complete
            and SamplingParams.field_of(name) not in consumed
            and value is not None
            and not (name == "temperature" and value == 0)
        ):
            text = f"no part of this run uses it (in use: {', '.join(sorted(consumed))})"
            yield source.problem((*place, name), text)
    yield from _values(source, place, {name: values[name] for name in values if name in standard}, SamplingParams)
    for model in dict.fromkeys(model for name, model in consumed.items() if name not in standard):
        own = {name: values[name] for name in model.model_fields if name in values and name not in standard}
        yield from _values(source, place, own, model)


def _hint(name: str, source: Source) -> str:
    if name in Spec.model_fields:
        after = " In TOML, what stands below [sampling] belongs to it: put it above the first table." * (
            source.file is not None and source.file.endswith(".toml")
        )
        return f" It belongs to the top level of the spec.{after}"
    return hint_of(name)


def _values(source: Source, place: Place, values: dict[str, Any], model: type[BaseModel]) -> Iterator[Problem]:
    try:
        model(**values)
        return
    except ValidationError as error:
        found = validation.describe(error, model, values)
    except RequestError as error:
        found = error.found
    for location, text in found:
        yield source.problem((*place, *location), text)


def check_shared(source: Source, components: Sequence[ResolvedComponent]) -> Iterator[Problem]:
    """Say of parts that use the same parameter that they do: each would apply it for itself."""
    places = {(chosen.offer.kind, chosen.offer.qualified): chosen.place for chosen in components}
    for first, second, name in shared_parameters(chosen.offer for chosen in components):
        text = f"{second.title} uses the parameter {name!r}, and so does {first.title}: leave one of them out"
        yield source.problem(places[second.kind, second.qualified], text)
