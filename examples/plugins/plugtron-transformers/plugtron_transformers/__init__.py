"""An engine over transformers. This module is what plugtron imports to list it, so it imports no torch."""

from __future__ import annotations

from collections.abc import Iterable

from plugtron import Component, Need, Problem, hookimpl
from plugtron.plugin import CheckedSpec

__all__ = ["PLUGTRON_API", "plugtron_check_spec", "plugtron_engines"]

#: The plugin API that this package was written for.
PLUGTRON_API = 1


@hookimpl
def plugtron_engines() -> list[Component]:
    """One engine. It brings its own model: all that it needs of plugtron's parts is a tokenizer."""
    return [
        Component(
            name="transformers",
            target="plugtron_transformers.engine:TransformersEngine",
            options="plugtron_transformers.options:TransformersOptions",
            params="plugtron_transformers.options:TransformersParams",
            summary="transformers runs the model, whatever its architecture",
            needs=frozenset({Need.TOKENIZER}),
            install_hint="pip install transformers",
        )
    ]


@hookimpl
def plugtron_check_spec(spec: CheckedSpec) -> Iterable[Problem]:
    """Refuse ranks: there is one process. Parameters and parts that are not used plugtron refuses itself."""
    if not spec.uses("engine", "transformers"):
        return []
    ranks = {name: spec.settings["parallel"][name] for name in ("tensor", "pipeline", "data")}
    return [
        Problem(f"parallel.{name}", f"the engine transformers runs in one process (accepted: 1, got {size})")
        for name, size in ranks.items()
        if size > 1
    ]
