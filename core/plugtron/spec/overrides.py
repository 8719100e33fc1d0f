"""`--set a.b=c`: one value of the spec replaced from the command line or from Python."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from plugtron.errors import Problem, SpecError
from plugtron.spec.load import Place, Source
from plugtron.utils.validation import plain

__all__ = ["apply", "read_value", "split"]

#: Where a component stands: a bare name there is opened up when an override goes inside.
_COMPONENT_PLACES = (
    *(("engine",), ("controller",), ("tokenizer",), ("execution",), ("attention",)),
    *(("model", "wrapper"), ("model", "quantization")),
)

_LISTS = (("samplers",), ("prompts",), ("plugins", "require"), ("plugins", "disable"), ("sampling", "stop"))


def split(texts: Iterable[str]) -> dict[str, Any]:
    """Read "path=value" texts; values are YAML, so 4 is a number and [a, b] a list.

    Raises:
        SpecError: a text without "=", or a value that is not YAML.
    """
    overrides = {}
    for text in texts:
        path, equals, value = text.partition("=")
        if not equals or not path.strip():
            raise SpecError([Problem(text, "write PATH=VALUE, such as engine.options.max_batch_size=4", "--set")])
        overrides[path.strip()] = read_value(value, Problem(text, f"the value {plain(value)} is not YAML", "--set"))
    return overrides


def read_value(text: str, problem: Problem) -> Any:
    """Read a value that somebody has typed, as YAML.

    Raises:
        SpecError: it is none; with this problem.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise SpecError([problem]) from None


def apply(source: Source, overrides: Mapping[str, Any], *, called: str = "--set") -> Source:
    """Put each override in its place. Whether the path names something that exists is checked with the spec.

    A new name of a component drops the options of the old one. The order in which overrides are given does not count:
    what is named more closely stays. Errors name what is `called` so.

    Raises:
        SpecError: a path leads through a value that has no inside.
    """
    if not isinstance(overrides, Mapping) or not all(isinstance(path, str) for path in overrides):
        raise SpecError(f"overrides must be values by path, such as {{'parallel.tensor': 2}} (got {plain(overrides)})")
    source.override_name = called
    placed = [(*_placed(path, value), path) for path, value in overrides.items()]
    for place, value, path in sorted(placed, key=lambda entry: len(entry[0])):
        try:
            _put(source.values, place, value)
        except _NoPlace as error:
            raise SpecError([Problem(path, str(error), called)]) from None
        source.overrides[place] = path
        source.lines = {known: line for known, line in source.lines.items() if known[: len(place)] != place}
    return source


def _placed(path: str, value: Any) -> tuple[Place, Any]:
    place: Place = tuple(int(part) if part.isdecimal() and len(part) < 10 else part for part in path.split("."))
    if _is_component(place[:-1]) and place[-1] == "name":
        return place[:-1], {"name": value}
    return place, value


def _is_component(place: Place) -> bool:
    return place in _COMPONENT_PLACES or (len(place) == 2 and place[0] == "samplers")


class _NoPlace(Exception):
    """A path leads nowhere."""


def _put(values: dict[str, Any], place: Place, value: Any) -> None:
    owner: Any = values
    for depth, part in enumerate(place[:-1]):
        owner = _inside(owner, part, place[: depth + 1])
    last: Any = place[-1]
    if isinstance(owner, list) and not (isinstance(last, int) and last < len(owner)):
        raise _NoPlace(f"no entry {last!r} in a list of {len(owner)}")
    owner[last] = value


def _inside(owner: Any, part: Any, here: Place) -> dict[str, Any] | list[Any]:
    """Step into a part of a mapping or list, opening up a component that is written as a bare name or not at all."""
    if isinstance(owner, list):
        inside = owner[part] if isinstance(part, int) and part < len(owner) else None
    else:
        inside = owner.get(part)
        if inside is None:
            inside = owner[part] = {"name": _default_name(here)} if here in _COMPONENT_PLACES else {}
    if isinstance(inside, str) and _is_component(here):
        inside = owner[part] = {"name": inside}
    if inside == {} and here in _LISTS:
        dotted = ".".join(map(str, here))
        raise _NoPlace(f"the spec has no {dotted}; write {dotted}=[...]")
    if not isinstance(inside, dict | list):
        raise _NoPlace(f"{'.'.join(map(str, here))} has no inside")
    return inside


def _default_name(place: Place) -> str | None:
    """The component that stands at `place` when the spec leaves it out."""
    # Imported here: the loader side does without the model.
    from plugtron.spec.model import ModelSpec, Spec

    owner = ModelSpec if place[0] == "model" else Spec
    default = owner.model_fields[str(place[-1])].default
    return None if default is None else default.name
