"""Granite's numbers in GGUF files, which embeddings, scores and sums are multiplied with, and logits divided by."""

from __future__ import annotations

from plugtron.contracts import ModelDescription
from plugtron.errors import CheckpointError
from plugtron_wrappers.gguf.metadata import Metadata

__all__ = ["MULTIPLIERS", "multipliers_from_gguf"]

#: Keys under the architecture's name.
MULTIPLIERS = ("attention.scale", "embedding_scale", "logit_scale", "residual_scale")


def multipliers_from_gguf(model: ModelDescription) -> dict[str, float]:
    """Return all of them by key; 0 for attention.scale means what is usual for the width of heads.

    Raises:
        CheckpointError: logit_scale is missing, or layers do not rotate, which rope.scaling.finetuned says here.
    """
    metadata = Metadata.of(model)
    if not metadata.get("rope.scaling.finetuned", True):
        raise CheckpointError(f"{model.path}: layers that do not rotate are not implemented (rope.scaling.finetuned)")
    return {
        "attention.scale": metadata.get("attention.scale", 0.0),
        "embedding_scale": metadata.get("embedding_scale", 0.0) or 1.0,
        "residual_scale": metadata.get("residual_scale", 0.0) or 1.0,
        "logit_scale": metadata.need("logit_scale"),
    }
