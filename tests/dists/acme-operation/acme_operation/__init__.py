"""A family whose MLP goes through an operation of its own."""

from plugtron import Component, Need, hookimpl


@hookimpl
def plugtron_wrappers():
    return [
        Component(
            name="acme_sine",
            target="acme_operation.wrapper:SineWrapper",
            needs=frozenset({Need.CHECKPOINT}),
            provides=frozenset({"huggingface/AcmeSineForCausalLM"}),
        )
    ]
