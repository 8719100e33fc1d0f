"""Gemma 2, as a package of its own."""

from plugtron import Component, Need, hookimpl


@hookimpl
def plugtron_wrappers():
    return [
        Component(
            name="acme_gemma2",
            target="acme_gemma2.wrapper:Gemma2Wrapper",
            summary="Gemma 2",
            needs=frozenset({Need.CHECKPOINT}),
            provides=frozenset({"huggingface/AcmeGemma2ForCausalLM"}),
        )
    ]
