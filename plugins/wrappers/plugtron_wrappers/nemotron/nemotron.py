"""Nemotron-4 (arXiv:2402.16819), and Minitron: squared relu, and norms that hold their difference from 1."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from pydantic import Field

from plugtron.contracts import CheckpointReader, ModelDescription, Weight, WeightMap
from plugtron.nn import DecoderConfig
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, activation_of
from plugtron_wrappers.huggingface.names import layer_weights, whole

__all__ = ["Nemotron"]

#: What llama.cpp takes for granted.
_GGUF_ACTIVATION = "relu_squared"


class NemotronFields(DecoderFields):
    """Defaults are those of transformers."""

    max_position_embeddings: int = Field(default=4096, gt=0, lt=2**31)
    norm_eps: float = Field(default=1e-5, gt=0, lt=1)
    hidden_act: str = "relu2"
    partial_rotary_factor: float | None = Field(default=0.5, ge=0, le=1)
    attention_bias: bool = False
    mlp_bias: bool = False


class Nemotron(Family):
    """Runs Nemotron-4 and Minitron."""

    name = "nemotron"
    fields = NemotronFields

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        return replace(
            plain_decoder(fields, file, norm_epsilon=fields.norm_eps),
            norm="layer",
            norm_offset=1.0,
            activation=activation_of(fields.hidden_act, file),
            gated=False,
            qkv_bias=fields.attention_bias,
            output_bias=fields.attention_bias,
            mlp_bias=fields.mlp_bias,
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; norms' weights have 1 added to them."""
        plain = config_from_gguf(model, checkpoint, norm="layer", partial=True)
        return replace(plain, activation=_GGUF_ACTIVATION, gated=False)

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        yield from whole(self.config)
        yield from layer_weights(
            self.config,
            {
                "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                "attention.output": ("self_attn.o_proj",),
                "attention_norm": ("input_layernorm",),
                "mlp_norm": ("post_attention_layernorm",),
                "mlp.up": ("mlp.up_proj",),
                "mlp.down": ("mlp.down_proj",),
            },
        )
