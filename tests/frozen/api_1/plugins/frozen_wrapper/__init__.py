"""GPT-NeoX (Pythia), as a package of its own."""

from plugtron import Component, Need, hookimpl


@hookimpl
def plugtron_wrappers():
    return [
        Component(
            name="frozen_wrapper",
            target="frozen_wrapper.wrapper:NeoXWrapper",
            summary="GPT-NeoX",
            needs=frozenset({Need.CHECKPOINT}),
            provides=frozenset({"huggingface/FrozenForCausalLM"}),
        )
    ]
