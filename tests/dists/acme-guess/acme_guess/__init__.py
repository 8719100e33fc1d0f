"""Two controllers: one guesses from the text, one steers away from another prompt."""

from acme_guess.params import SteeredParams

from plugtron import Component, Need, hookimpl
from plugtron_controllers import GenerationParams

NEEDS = frozenset({Need.WRAPPER, Need.TOKENIZER, Need.SAMPLERS})


@hookimpl
def plugtron_controllers():
    return [
        Component(
            name="acme_lookup",
            target="acme_guess.lookup:assemble",
            params=GenerationParams,
            summary="guesses what followed the last token where it stood before",
            needs=NEEDS,
        ),
        Component(
            name="acme_steered",
            target="acme_guess.steered:Steered",
            params=SteeredParams,
            summary="away from what would follow the first token of the prompt alone",
            needs=NEEDS,
        ),
    ]
