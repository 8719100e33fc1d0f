"""Falcon (arXiv:2311.16867): attention and MLP beside each other, under one norm or two, or one after the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Literal

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
from plugtron.errors import CheckpointError
from plugtron.nn import MLP, Attention, DecoderConfig, LayerNorm, Rotation, TransformerDecoder, alibi_slopes
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.gpt_neox.gpt_neox import ParallelDecoder
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, activation_of
from plugtron_wrappers.huggingface.names import head_by_head, layer_weights, whole

__all__ = ["Falcon"]

#: llama.cpp takes it for granted that attention and MLP are beside each other, and that layers rotate. It computes the
#: tanh approximation of the activation that models have been trained with.
_GGUF_ACTIVATION = "gelu"


class FalconFields(DecoderFields):
    """Defaults are those of transformers."""

    vocab_size: int = Field(default=65024, gt=0, lt=2**24)
    hidden_size: int = Field(default=4544, gt=0, lt=2**20, validation_alias=AliasChoices("n_embed", "hidden_size"))
    num_hidden_layers: int = Field(default=32, gt=0, lt=10_000)
    num_attention_heads: int = Field(default=71, gt=0, lt=2**16)
    num_key_value_heads: int | None = Field(default=None, gt=0, validation_alias="num_kv_heads")
    intermediate_size: Any = None
    ffn_hidden_size: int | None = Field(default=None, gt=0, lt=2**22)
    layer_norm_epsilon: float = Field(default=1e-5, gt=0, lt=1)
    activation: str = "gelu"
    bias: bool = False
    alibi: bool = False
    multi_query: bool = True
    parallel_attn: bool = True
    new_decoder_architecture: bool = False
    num_ln_in_parallel_attn: Literal[None, 1, 2] = None
    tie_word_embeddings: bool = True


class SharedNormLayer(nn.Module):
    """h + attention(n) + mlp(n), where n = norm(h)."""

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__()
        self.attention_norm = LayerNorm(config.hidden_size, config.norm_epsilon, runtime, bias=True)
        self.attention = Attention(config, layer, runtime)
        self.mlp = MLP(config, config.intermediate_size, runtime)

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        normed = self.attention_norm(hidden)
        return hidden + self.attention(normed, rotation, state, memory) + self.mlp(normed)


class SharedNormDecoder(TransformerDecoder):
    """Layers whose halves are beside each other, under one norm."""

    layer_class: ClassVar[type[nn.Module]] = SharedNormLayer


class Falcon(Family):
    """Runs Falcon of the first two generations: the sizes of one and two norms, and those with ALiBi."""

    name = "falcon"
    fields = FalconFields

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        grouped, parallel, norms = fields.new_decoder_architecture, fields.parallel_attn, fields.num_ln_in_parallel_attn
        if grouped and not parallel:
            raise CheckpointError(f"{file}: parallel_attn False with new_decoder_architecture is not implemented")
        if parallel and not grouped and norms == 2:
            raise CheckpointError(f"{file}: num_ln_in_parallel_attn 2 needs new_decoder_architecture")
        if not grouped:  # what is written of groups says nothing
            fields = fields.model_copy(update={"num_key_value_heads": 1 if fields.multi_query else None})
        plain = plain_decoder(fields, file, norm_epsilon=fields.layer_norm_epsilon)
        turns = not fields.alibi
        # Its slopes are of scores that have yet to be scaled, and rounded.
        slopes = alibi_slopes(plain.num_heads).bfloat16().float() * plain.head_dim**-0.5
        return replace(
            plain,
            intermediate_size=fields.ffn_hidden_size or 4 * fields.hidden_size,
            norm="layer",
            activation=activation_of(fields.activation, file, "activation"),
            gated=False,
            rotary=plain.rotary if turns else None,
            rotates=(turns,) * plain.num_layers,
            alibi=fields.alibi,
            alibi_slopes=tuple(slopes.tolist()) if fields.alibi else (),
            qkv_bias=fields.bias,
            output_bias=fields.bias,
            mlp_bias=fields.bias,
            parallel=parallel,
            shared_norm=parallel and not (grouped and norms != 1),
        )

    def build(self, layers: range) -> TransformerDecoder:
        """Return the decoder with these layers."""
        made = ParallelDecoder if self.config.parallel else TransformerDecoder
        made = SharedNormDecoder if self.config.shared_norm else made
        return made(self.config, layers, self.runtime)

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; what llama.cpp takes for granted is not in them."""
        plain = config_from_gguf(model, checkpoint, norm="layer")
        shared = "blk.0.attn_norm_2.weight" not in checkpoint.tensors
        return replace(plain, activation=_GGUF_ACTIVATION, gated=False, parallel=True, shared_norm=shared)

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files, where the second norm of a layer is attention's."""
        norms = {"attention_norm": "attn_norm"}
        if not self.config.shared_norm:
            norms = {"attention_norm": "attn_norm_2", "mlp_norm": "attn_norm"}
        return gguf_weights(self.config, self.checkpoint.tensors, norms=norms)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        config = self.config
        norms = {"attention_norm": ("input_layernorm",)}
        if not config.parallel:
            norms["mlp_norm"] = ("post_attention_layernorm",)
        elif not config.shared_norm:
            norms = {"attention_norm": ("ln_attn",), "mlp_norm": ("ln_mlp",)}
        yield from whole(config, embedding="transformer.word_embeddings", final_norm="transformer.ln_f")
        yield from head_by_head(config, "transformer.h.{layer}.self_attention.query_key_value")
        yield from layer_weights(
            config,
            {
                **norms,
                "attention.output": ("self_attention.dense",),
                "mlp.up": ("mlp.dense_h_to_4h",),
                "mlp.down": ("mlp.dense_4h_to_h",),
            },
            prefix="transformer.h.{layer}.",
        )
