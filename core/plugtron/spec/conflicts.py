"""Parts and options that are in order by themselves, and cannot go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from plugtron.errors import Problem
from plugtron.plugin.component import Kind
from plugtron.spec.load import Source
from plugtron.spec.resolved import ResolvedComponent

__all__ = ["conflicts"]


def conflicts(source: Source, components: Sequence[ResolvedComponent]) -> Iterator[Problem]:
    """What of a spec no part that it chooses could do."""
    model = source.values.get("model")
    kv_dtype = model.get("kv_dtype") if isinstance(model, Mapping) else None
    executions = {chosen.offer.component.name for chosen in components if chosen.offer.kind is Kind.EXECUTION}
    if kv_dtype == "int8" and "graph" in executions:
        text = "int8: execution graph does not read it (accepted here: auto, fp8; or execution: auto, native, eager)"
        yield source.problem(("model", "kv_dtype"), text)
