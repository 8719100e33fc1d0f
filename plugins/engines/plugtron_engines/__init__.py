"""The engines that come with plugtron; others may derive from them, or from plugtron.engine's bases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron import Component, Need, hookimpl
from plugtron.utils import loader

if TYPE_CHECKING:
    from plugtron_engines.dynamic import DynamicEngine
    from plugtron_engines.options import DynamicOptions, StaticOptions
    from plugtron_engines.static import StaticEngine

__all__ = ["DynamicEngine", "DynamicOptions", "StaticEngine", "StaticOptions", "plugtron_engines"]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "DynamicEngine": "plugtron_engines.dynamic",
    "DynamicOptions": "plugtron_engines.options",
    "StaticEngine": "plugtron_engines.static",
    "StaticOptions": "plugtron_engines.options",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)


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
