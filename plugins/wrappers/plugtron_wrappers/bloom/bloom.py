"""BLOOM (arXiv:2211.05100): positions by ALiBi alone, and a norm right after the embedding."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import AliasChoices, Field
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
from plugtron.nn import DecoderConfig, LayerNorm, Rotation, TransformerDecoder, TransformerLayer
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields
from plugtron_wrappers.huggingface.names import head_by_head, layer_weights, whole
from plugtron_wrappers.weight_rules import linear

__all__ = ["Bloom"]

#: What llama.cpp takes for granted, beside layers that add to what they have not normalized.
_GGUF_ACTIVATION = "gelu_tanh"


class BloomFields(DecoderFields):
    """Defaults are those of transformers."""

    hidden_size: int = Field(default=64, gt=0, lt=2**20, validation_alias=AliasChoices("n_embed", "hidden_size"))
    num_hidden_layers: int = Field(
        default=2, gt=0, lt=10_000, validation_alias=AliasChoices("num_hidden_layers", "n_layer")
    )
    num_attention_heads: int = Field(
        default=8, gt=0, lt=2**16, validation_alias=AliasChoices("num_attention_heads", "n_head")
    )
    #: Nothing ends with it: ALiBi goes on as far as wanted.
    max_position_embeddings: int = Field(
        default=2048, gt=0, lt=2**31, validation_alias=AliasChoices("seq_length", "max_position_embeddings")
    )
    layer_norm_epsilon: float = Field(default=1e-5, gt=0, lt=1)
    apply_residual_connection_post_layernorm: bool = False
    tie_word_embeddings: bool = True
    # Of the program that it was trained with, and of no effect.
    intermediate_size: Any = None
    offset_alibi: Any = None
    bias_dropout_fusion: Any = None
    skip_bias_add: Any = None
    skip_bias_add_qkv: Any = None


class NormedStreamLayer(TransformerLayer):
    """n + attention(n), where n = norm(h); then the same with the MLP."""

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        normed = self.attention_norm(hidden)
        normed = self.mlp_norm(normed + self.attention(normed, rotation, state, memory))
        return normed + self.mlp(normed)


class BloomDecoder(TransformerDecoder):
    """An embedding with a norm."""

    def __init__(self, config: DecoderConfig, layers: range, runtime: Runtime) -> None:
        super().__init__(config, layers, runtime)
        first = layers.start == 0
        norm = LayerNorm(config.hidden_size, config.norm_epsilon, runtime, bias=True) if first else None
        self.embedding_norm = norm

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Map ids and positions [T] to hidden states [T, H]."""
        assert self.embedding_norm is not None, "only the first range of layers has the embedding"
        return self.embedding_norm(super().embed(tokens, positions))


class NormedStreamDecoder(BloomDecoder):
    """Layers that add to what they have normalized."""

    layer_class: ClassVar[type[nn.Module]] = NormedStreamLayer


class Bloom(Family):
    """Runs BLOOM and BLOOMZ."""

    name = "bloom"
    fields = BloomFields
    ignored: ClassVar[tuple[str, ...]] = ("*.scale_mask_softmax.causal_mask",)

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        # There are as many heads of keys and values, whatever is written.
        fields = fields.model_copy(update={"num_key_value_heads": None})
        layers = fields.num_hidden_layers
        return replace(
            plain_decoder(fields, file, norm_epsilon=fields.layer_norm_epsilon),
            intermediate_size=4 * fields.hidden_size,
            norm="layer",
            activation="gelu_tanh",
            gated=False,
            rotary=None,
            rotates=(False,) * layers,
            alibi=True,
            qkv_bias=True,
            output_bias=True,
            mlp_bias=True,
            norm_place="stream" if fields.apply_residual_connection_post_layernorm else "branch",
        )

    def build(self, layers: range) -> TransformerDecoder:
        """Return the decoder with these layers."""
        made = NormedStreamDecoder if self.config.norm_place == "stream" else BloomDecoder
        return made(self.config, layers, self.runtime)

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; what llama.cpp takes for granted is not in them."""
        plain = config_from_gguf(model, checkpoint, norm="layer")
        return replace(
            plain,
            activation=_GGUF_ACTIVATION,
            gated=False,
            rotary=None,
            rotates=(False,) * plain.num_layers,
            alibi=True,
            norm_place="branch",
        )

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        norm = linear("embedding_norm", ("token_embd_norm",), bias=True)
        return gguf_weights(self.config, self.checkpoint.tensors, more=norm)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        yield from whole(self.config, embedding="transformer.word_embeddings", final_norm="transformer.ln_f")
        yield from linear("embedding_norm", ("transformer.word_embeddings_layernorm",), bias=True)
        yield from head_by_head(self.config, "transformer.h.{layer}.self_attention.query_key_value")
        yield from layer_weights(
            self.config,
            {
                "attention.output": ("self_attention.dense",),
                "attention_norm": ("input_layernorm",),
                "mlp_norm": ("post_attention_layernorm",),
                "mlp.up": ("mlp.dense_h_to_4h",),
                "mlp.down": ("mlp.dense_4h_to_h",),
            },
            prefix="transformer.h.{layer}.",
        )
