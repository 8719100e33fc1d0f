"""GPT-2 in GGUF files."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from plugtron.contracts import CheckpointReader, ModelDescription, WeightMap
from plugtron.nn import DecoderConfig
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.weight_rules import linear

__all__ = ["config_from_gpt2_gguf", "gpt2_gguf_weights"]

#: What llama.cpp takes for granted.
_ACTIVATION = "gelu_tanh"


def config_from_gpt2_gguf(model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
    """Translate metadata.

    Raises:
        CheckpointError: a key is missing, or asks for what is not implemented.
    """
    plain = config_from_gguf(model, checkpoint, norm="layer")
    return replace(
        plain,
        activation=_ACTIVATION,
        gated=False,
        rotary=None,
        rotates=(False,) * plain.num_layers,
        learned_positions=plain.max_positions,
    )


def gpt2_gguf_weights(config: DecoderConfig, tensors: Collection[str]) -> WeightMap:
    """Names in GGUF files; `tensors` are those that there are."""
    return gguf_weights(config, tensors, more=linear("positions", ("position_embd",), bias=False))
