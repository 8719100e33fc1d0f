"""The controllers that come with plugtron; others may derive from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron import Component, Need, hookimpl
from plugtron.utils import loader

if TYPE_CHECKING:
    from plugtron_controllers.model_controller import ModelController
    from plugtron_controllers.params import GenerationParams
    from plugtron_controllers.speculative.controller import SpeculativeController
    from plugtron_controllers.speculative.drafter import Drafter, Wanted
    from plugtron_controllers.text_generation import SimpleTextGenerationController

__all__ = [
    "Drafter",
    "GenerationParams",
    "ModelController",
    "SimpleTextGenerationController",
    "SpeculativeController",
    "Wanted",
    "plugtron_controllers",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "Drafter": "plugtron_controllers.speculative.drafter",
    "GenerationParams": "plugtron_controllers.params",
    "ModelController": "plugtron_controllers.model_controller",
    "SimpleTextGenerationController": "plugtron_controllers.text_generation",
    "SpeculativeController": "plugtron_controllers.speculative.controller",
    "Wanted": "plugtron_controllers.speculative.drafter",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)


@hookimpl
def plugtron_controllers() -> list[Component]:
    """One token a step, and several."""
    return [
        Component(
            name="text_generation",
            target="plugtron_controllers.text_generation:SimpleTextGenerationController",
            params="plugtron_controllers.params:GenerationParams",
            summary="one token per sequence and step, with stop conditions, log probabilities and streaming text",
            needs=frozenset({Need.WRAPPER, Need.TOKENIZER, Need.SAMPLERS}),
        ),
        Component(
            name="speculative",
            target="plugtron_controllers.speculative.controller:SpeculativeController",
            options="plugtron_controllers.options:SpeculativeOptions",
            params="plugtron_controllers.params:GenerationParams",
            summary="speculative decoding with n-grams, a draft model or MTP layers; the output is unchanged",
            needs=frozenset({Need.WRAPPER, Need.TOKENIZER, Need.SAMPLERS}),
        ),
        Component(
            name="beam_search",
            target="plugtron_controllers.beams.controller:BeamSearchController",
            options="plugtron_controllers.options:BeamOptions",
            params="plugtron_controllers.params:BeamParams",
            summary="the most likely answers, for requests with beam_width",
            needs=frozenset({Need.WRAPPER, Need.TOKENIZER, Need.SAMPLERS}),
        ),
        Component(
            name="guidance",
            target="plugtron_controllers.guidance:GuidanceController",
            params="plugtron_controllers.params:GuidanceParams",
            summary="classifier-free guidance: away from what the model would say after another prompt",
            needs=frozenset({Need.WRAPPER, Need.TOKENIZER, Need.SAMPLERS}),
        ),
    ]
