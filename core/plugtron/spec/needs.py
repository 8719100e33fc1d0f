"""Which parts a run is made of: what its engine needs, and what that needs. What else a spec names is a mistake."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plugtron.errors import Problem
from plugtron.plugin.component import Kind, Need
from plugtron.spec.load import Place, Source
from plugtron.spec.model import DEFAULT_CHAIN
from plugtron.spec.resolved import ResolvedComponent

__all__ = ["all_needs", "is_needed", "unused"]

#: The need that a component of a kind fills; an execution and the like belong to a wrapper.
_NEED_OF: dict[Kind, Need] = {
    Kind.TOKENIZER: Need.TOKENIZER,
    Kind.WRAPPER: Need.WRAPPER,
    Kind.EXECUTION: Need.WRAPPER,
    Kind.ATTENTION: Need.WRAPPER,
    Kind.QUANTIZATION: Need.WRAPPER,
    Kind.SAMPLER: Need.SAMPLERS,
    Kind.CONTROLLER: Need.CONTROLLER,
}
#: What a spec says of a part, and what it says where it says nothing.
_SAID: dict[Place, tuple[Need, tuple[object, ...]]] = {
    ("model", "wrapper"): (Need.WRAPPER, ("auto",)),
    ("model", "quantization"): (Need.WRAPPER, (None,)),
    ("model", "kv_dtype"): (Need.WRAPPER, (None, "auto")),
    ("execution",): (Need.WRAPPER, ("auto",)),
    ("attention",): (Need.WRAPPER, ("auto",)),
    ("deterministic",): (Need.WRAPPER, (False,)),
    ("tokenizer",): (Need.TOKENIZER, ("auto",)),
    ("controller",): (Need.CONTROLLER, ("text_generation",)),
    ("samplers",): (Need.SAMPLERS, (["default"], list(DEFAULT_CHAIN))),
}


def all_needs(components: Sequence[ResolvedComponent]) -> frozenset[Need]:
    """What the engine needs, what that needs, and so on: an engine with a model of its own may need next to nothing.

    Everything, as long as there is no engine.
    """
    engine = next((chosen for chosen in components if chosen.offer.kind is Kind.ENGINE), None)
    if engine is None:
        return frozenset(Need)
    wanted: set[Need] = set()
    open_needs = set(engine.offer.component.needs)
    while open_needs:
        need = open_needs.pop()
        wanted.add(need)
        for chosen in components:
            if _NEED_OF.get(chosen.offer.kind) is need:
                open_needs |= set(chosen.offer.component.needs) - wanted
    return frozenset(wanted)


def is_needed(kind: Kind, needs: frozenset[Need]) -> bool:
    """Whether a component of this kind is built at all."""
    return kind not in _NEED_OF or _NEED_OF[kind] in needs


def unused(source: Source, needs: frozenset[Need]) -> Iterator[Problem]:
    """What a spec says of parts that its engine does without."""
    for place, (need, defaults) in _SAID.items():
        value = _value(source.values, place, defaults[0])
        if need not in needs and value not in defaults:
            yield source.problem(place, "this engine brings its own model, and does without: leave it out")


def _value(values: Any, place: Place, default: object) -> object:
    """What stands at a place; a component without options as its name."""
    for part in place:
        if not isinstance(values, Mapping) or part not in values:
            return default
        values = values[part]
    return [_short(entry) for entry in values] if isinstance(values, list) else _short(values)


def _short(value: Any) -> object:
    return value["name"] if isinstance(value, Mapping) and "name" in value and not value.get("options") else value
