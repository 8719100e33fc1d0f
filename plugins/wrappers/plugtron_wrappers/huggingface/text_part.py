"""The text part of models that also see or hear: their config.json has one nested for each part."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import replace

from plugtron.contracts import ModelDescription
from plugtron.errors import CheckpointError
from plugtron_wrappers.huggingface.ignored_fields import refuse_unknown

__all__ = ["text_part"]


def text_part(model: ModelDescription, *, others: Collection[str], wrapper: str) -> ModelDescription:
    """Return the text part of a model as one of its own, with a warning that says what is left out.

    Args:
        others: the fields that describe other parts.
        wrapper: the component's name, for the message.

    Raises:
        CheckpointError: there is no text part, or a field beside it changes what is computed.
    """
    file, configuration = str(model.path / "config.json"), model.configuration
    text = configuration.get("text_config")
    if not isinstance(text, dict):
        raise CheckpointError(f"{file}: text_config is no mapping (got {text!r})")
    refuse_unknown(model, {*others, "text_config"}, file, wrapper=wrapper)
    left_out = ", ".join(name for name in others if name in configuration) or "what is no text"
    warnings.warn(f"{model.path}: the text part alone is run; left out: {left_out}", stacklevel=2)
    # Whether the head is the embedding is said of the whole model, not of the part.
    tied = configuration.get("tie_word_embeddings", True)
    return replace(model, configuration={**text, "tie_word_embeddings": tied})
