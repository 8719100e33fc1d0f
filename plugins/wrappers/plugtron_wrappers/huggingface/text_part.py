"""The text part of models that also see or hear: their config.json has one nested for each part."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from dataclasses import replace

from plugtron.contracts import ModelDescription, Section, WeightMap
from plugtron.errors import CheckpointError
from plugtron_wrappers.huggingface.ignored_fields import refuse_unknown

__all__ = ["text_part", "text_weights"]

#: Where the tensors of the text part's model and head stand, as transformers has written them at one time or another.
_ROOTS = (("model.language_model.", "lm_head."), ("language_model.model.", "language_model.lm_head."))
#: Tensors of other parts.
_OTHERS = ("*vision*", "*multi_modal_projector*", "*audio*")


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


def text_weights(own: WeightMap, stored: Collection[str]) -> WeightMap:
    """Return a map of weights with the names that they have within a model of several parts.

    Args:
        own: names as in a folder of the text part alone.
        stored: the tensors that there are.
    """
    root, head = next((each for each in _ROOTS if any(name.startswith(each[0]) for name in stored)), _ROOTS[0])

    def named(tensor: str | Section) -> str | Section:
        if isinstance(tensor, Section):
            return replace(tensor, tensor=inside(tensor.tensor))
        return inside(tensor)

    def inside(name: str) -> str:
        if name.startswith("lm_head."):
            return head + name.removeprefix("lm_head.")
        return root + name.removeprefix("model.")

    weights = tuple(replace(weight, tensors=tuple(map(named, weight.tensors))) for weight in own.weights)
    ignored = (inside(pattern) if pattern.startswith("lm_head.") else pattern for pattern in own.ignored)
    return WeightMap(weights=weights, ignored=(*ignored, "lm_head.weight", *_OTHERS))
