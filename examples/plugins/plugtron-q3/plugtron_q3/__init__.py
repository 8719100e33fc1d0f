"""A quantization method. This module is what plugtron imports to list it, so it imports no torch."""

from __future__ import annotations

from plugtron import Component, hookimpl

__all__ = ["PLUGTRON_API", "plugtron_quantizations"]

#: The plugin API that this package was written for.
PLUGTRON_API = 1


@hookimpl
def plugtron_quantizations() -> list[Component]:
    """One method; a spec names it under model.quantization."""
    return [
        Component(
            name="q3",
            target="plugtron_q3.method:Q3",
            options="plugtron_q3.options:Q3Options",
            summary="layers of 3 bits in groups, packed; torch alone runs them",
        )
    ]
