"""The StableLM family. This module is what plugtron imports to list it, so it imports no torch."""

from __future__ import annotations

from plugtron import Component, Need, hookimpl

__all__ = ["PLUGTRON_API", "plugtron_wrappers"]

#: The plugin API that this package was written for.
PLUGTRON_API = 1


@hookimpl
def plugtron_wrappers() -> list[Component]:
    """One wrapper; `wrapper: auto` finds it by the architecture in config.json."""
    return [
        Component(
            name="stablelm",
            target="plugtron_stablelm.wrapper:StableLM",
            summary="StableLM 3B and StableLM 2 1.6B",
            needs=frozenset({Need.CHECKPOINT}),
            provides=frozenset({"huggingface/StableLmForCausalLM"}),
        )
    ]
