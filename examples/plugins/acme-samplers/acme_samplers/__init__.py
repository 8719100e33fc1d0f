"""Two samplers. This module is what plugtron imports to list them, so it imports neither torch nor pydantic."""

from __future__ import annotations

from plugtron import Component, Need, hookimpl

__all__ = ["PLUGTRON_API", "plugtron_samplers"]

#: The plugin API that this package was written for.
PLUGTRON_API = 1


@hookimpl
def plugtron_samplers() -> list[Component]:
    """Both; a spec names those that it wants in its chain."""
    return [
        Component(
            name="acme_typical_p",
            target="acme_samplers.typical:TypicalP",
            params="acme_samplers.params:TypicalPParams",
            summary="the candidates whose surprise is nearest to what is expected (arXiv:2202.00666)",
        ),
        Component(
            name="acme_bad_words",
            target="acme_samplers.bad_words:BadWords",
            params="acme_samplers.params:BadWordsParams",
            summary="no token that completes one of acme_bad_words in the answer, however it is tokenized",
            needs=frozenset({Need.TOKENIZER}),
        ),
    ]
