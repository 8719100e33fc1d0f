"""Granite 3, dense: a Llama with numbers that embeddings, scores, sums and logits are multiplied with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from plugtron.contracts import (
    AttentionMetadata,
    CheckpointReader,
    LayerState,
    ModelDescription,
    Runtime,
    Weight,
    WeightMap,
)
from plugtron.nn import DecoderConfig, Rotation, TransformerDecoder, TransformerLayer
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.granite.multipliers import MULTIPLIERS, multipliers_from_gguf
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields
from plugtron_wrappers.huggingface.names import LLAMA_LAYER, layer_weights, whole

__all__ = ["Granite"]


class GraniteFields(DecoderFields):
    """Defaults are those of transformers."""

    vocab_size: int = Field(default=32000, gt=0, lt=2**24)
    hidden_size: int = Field(default=4096, gt=0, lt=2**20)
    intermediate_size: int = Field(default=11008, gt=0, lt=2**22)
    num_hidden_layers: int = Field(default=32, gt=0, lt=10_000)
    num_attention_heads: int = Field(default=32, gt=0, lt=2**16)
    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool = False
    mlp_bias: bool = False
    embedding_multiplier: float = Field(default=1.0, gt=0, lt=1e6)
    attention_multiplier: float = Field(default=1.0, gt=0, lt=1e6)
    residual_multiplier: float = Field(default=1.0, gt=0, lt=1e6)
    logits_scaling: float = Field(default=1.0, gt=0, lt=1e6)


class GraniteLayer(TransformerLayer):
    """h + s · attention(norm(h)), then h + s · mlp(norm(h))."""

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__(config, layer, runtime)
        self.scale = config.residual_scale

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        attended = self.attention(self.attention_norm(hidden), rotation, state, memory)
        hidden = hidden + attended * self.scale
        return hidden + self.mlp(self.mlp_norm(hidden)) * self.scale


class GraniteDecoder(TransformerDecoder):
    """Embeddings and logits are scaled."""

    layer_class: ClassVar[type[nn.Module]] = GraniteLayer

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Map ids and positions [T] to hidden states [T, H]."""
        return super().embed(tokens, positions) * self.config.embedding_scale

    def head(self, hidden: Tensor) -> Tensor:
        """Map hidden states [N, H] to this rank's logits [N, V / tp]."""
        return super().head(hidden) * self.config.logit_scale


class Granite(Family):
    """Runs Granite."""

    name = "granite"
    fields = GraniteFields
    decoder_class = GraniteDecoder

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        plain = plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps)
        return replace(
            plain,
            qkv_bias=fields.attention_bias,
            output_bias=fields.attention_bias,
            mlp_bias=fields.mlp_bias,
            attention_scales=(fields.attention_multiplier,) * plain.num_layers,
            embedding_scale=fields.embedding_multiplier,
            residual_scale=fields.residual_multiplier,
            logit_scale=1 / fields.logits_scaling,
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata."""
        plain, multipliers = config_from_gguf(model, checkpoint, own=MULTIPLIERS), multipliers_from_gguf(model)
        return replace(
            plain,
            attention_scales=(multipliers["attention.scale"] or plain.head_dim**-0.5,) * plain.num_layers,
            embedding_scale=multipliers["embedding_scale"],
            residual_scale=multipliers["residual_scale"],
            logit_scale=1 / multipliers["logit_scale"],
        )

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors, permuted=True)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        yield from whole(self.config)
        yield from layer_weights(self.config, LLAMA_LAYER)
