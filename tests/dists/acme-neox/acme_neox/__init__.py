"""GPT-NeoX (Pythia), as a package of its own."""

from plugtron import Component, Need, hookimpl


@hookimpl
def plugtron_wrappers():
    return [
        Component(
            name="acme_neox",
            target="acme_neox.wrapper:NeoXWrapper",
            summary="GPT-NeoX",
            needs=frozenset({Need.CHECKPOINT}),
            provides=frozenset({"huggingface/AcmeNeoXForCausalLM"}),
        )
    ]
