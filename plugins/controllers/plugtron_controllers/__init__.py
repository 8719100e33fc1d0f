"""The controllers that come with plugtron; others may derive from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron import Component, Need, hookimpl
from plugtron.utils import loader

if TYPE_CHECKING:
    from plugtron_controllers.params import GenerationParams
    from plugtron_controllers.text_generation import SimpleTextGenerationController

__all__ = ["GenerationParams", "SimpleTextGenerationController", "plugtron_controllers"]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "GenerationParams": "plugtron_controllers.params",
    "SimpleTextGenerationController": "plugtron_controllers.text_generation",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)


@hookimpl
def plugtron_controllers() -> list[Component]:
    """The text generation controller."""
    return [
        Component(
            name="text_generation",
            target="plugtron_controllers.text_generation:SimpleTextGenerationController",
            params="plugtron_controllers.params:GenerationParams",
            summary="one token per sequence and step, with stop conditions, log probabilities and streaming text",
            needs=frozenset({Need.WRAPPER, Need.TOKENIZER, Need.SAMPLERS}),
        )
    ]
