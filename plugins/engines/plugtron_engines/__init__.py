"""The engines that come with plugtron."""

from __future__ import annotations

from plugtron import Component, Need, hookimpl

__all__ = ["plugtron_engines"]


@hookimpl
def plugtron_engines() -> list[Component]:
    """Static and dynamic batching."""
    return [
        Component(
            name="dynamic",
            target="plugtron_engines.dynamic:DynamicEngine",
            options="plugtron_engines.options:DynamicOptions",
            summary="sequences join and leave at every step, over paged and shared memory",
            needs=frozenset({Need.CONTROLLER}),
        ),
        Component(
            name="static",
            target="plugtron_engines.static:StaticEngine",
            options="plugtron_engines.options:StaticOptions",
            summary="one batch after the other; a sequence that ends drops out of the steps",
            needs=frozenset({Need.CONTROLLER}),
        ),
    ]
