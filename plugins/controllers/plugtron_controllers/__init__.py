"""The controllers that come with plugtron."""

from __future__ import annotations

from plugtron import Component, Need, hookimpl

__all__ = ["plugtron_controllers"]


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
