"""Llama 4, its language model: attention in chunks, layers without positions, one expert to a token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import fields as members
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import nn

from plugtron.contracts import CheckpointReader, ModelDescription, Runtime, Weight, WeightMap
from plugtron.errors import CheckpointError
from plugtron.nn import (
    Attention,
    DecoderConfig,
    ExpertsConfig,
    RMSNorm,
    Temperature,
    TransformerDecoder,
    TransformerLayer,
)
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.experts import sparse_layers, stacked_experts
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, one_per_layer
from plugtron_wrappers.huggingface.names import layer_weights, whole

__all__ = ["Llama4"]

#: What llama.cpp takes for granted: a layer that does not rotate and sees everything in so many, how long the others'
#: chunks are, and how the former's queries grow; queries and keys are normalized unless there are so many experts.
_GGUF_PATTERN, _GGUF_CHUNK, _GGUF_UNNORMALIZED = 4, 8192, 128
_GGUF_TEMPERATURE = Temperature(beta=0.1, period=8192, first=1)


class Llama4Fields(DecoderFields):
    """Defaults are those of transformers."""

    num_key_value_heads: int | None = Field(default=8, gt=0)
    head_dim: int | None = Field(default=128, gt=0, lt=2**16)
    max_position_embeddings: int = Field(default=131072, gt=0, lt=2**31)
    rms_norm_eps: float = Field(default=1e-5, gt=0, lt=1)
    rope_theta: float = Field(default=500_000.0, gt=0, lt=1e15)
    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool = False
    intermediate_size_mlp: int = Field(default=16384, gt=0, lt=2**22)
    num_local_experts: int = Field(default=16, gt=0, lt=2**16)
    num_experts_per_tok: Literal[1] = 1
    moe_layers: list[int] | None = None
    interleave_moe_layer_step: int = Field(default=1, gt=0)
    use_qk_norm: bool = True
    no_rope_layers: list[Literal[0, 1]] | None = None
    no_rope_layer_interval: int = Field(default=4, gt=0)
    layer_types: list[Literal["full_attention", "chunked_attention"]] | None = None
    attention_chunk_size: int | None = Field(default=8192, gt=0, lt=2**31)
    attn_temperature_tuning: bool | int = True  # 4 in published folders
    floor_scale: int = Field(default=8192, gt=0)
    attn_scale: float = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Llama4Config(DecoderConfig):
    """`normalized`: queries and keys that rotate are divided by their size."""

    normalized: bool


class Llama4Attention(Attention):
    """Queries and keys are normalized, which rotating does not change."""

    def __init__(self, config: Llama4Config, layer: int, runtime: Runtime) -> None:
        super().__init__(config, layer, runtime)
        if config.rotates[layer] and config.normalized:
            self.query_norm, self.key_norm = (
                RMSNorm(config.head_dim, config.norm_epsilon, runtime, weighted=False) for _ in range(2)
            )


class Llama4Layer(TransformerLayer):
    """A layer whose attention is Llama 4's."""

    attention_class: ClassVar[type[Attention]] = Llama4Attention


class Llama4Decoder(TransformerDecoder):
    """Such layers."""

    layer_class: ClassVar[type[nn.Module]] = Llama4Layer


class Llama4(Family):
    """Runs Llama 4's language model."""

    name = "llama4"
    fields = Llama4Fields
    decoder_class = Llama4Decoder
    seeing: ClassVar[Mapping[str, tuple[str, ...]]] = {"Llama4ForConditionalGeneration": ("vision_config",)}

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        plain = plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps)
        assert plain.rotary is not None
        if fields.use_qk_norm and plain.rotary.attention_factor != 1:
            # Rotating would change the size of what has been normalized.
            raise CheckpointError(f"{file}: use_qk_norm is not implemented with rotary {plain.rotary.scaling!r}")
        layers, step = plain.num_layers, fields.interleave_moe_layer_step
        every = fields.no_rope_layer_interval
        # Despite its name, 1 in the list means that the layer does rotate.
        rotates = fields.no_rope_layers or [int((layer + 1) % every != 0) for layer in range(layers)]
        kinds = fields.layer_types or [("full_attention", "chunked_attention")[each] for each in rotates]
        mixtures = range(step - 1, layers, step) if fields.moe_layers is None else fields.moe_layers
        experts = ExpertsConfig(
            count=fields.num_local_experts,
            top_k=1,
            size=fields.intermediate_size,
            score="sigmoid",
            shared_size=fields.intermediate_size,
            weighs_inputs=True,
        )
        own = {
            "intermediate_size": fields.intermediate_size_mlp,
            "rotary": replace(plain.rotary, interleaved=True),
            "rotates": tuple(map(bool, one_per_layer("no_rope_layers", rotates, layers, file))),
            "chunks": tuple(
                fields.attention_chunk_size if kind == "chunked_attention" else None
                for kind in one_per_layer("layer_types", kinds, layers, file)
            ),
            "sparse": tuple(layer in mixtures for layer in range(layers)),
            "experts": experts,
            "qkv_bias": fields.attention_bias,
            "output_bias": fields.attention_bias,
            "normalized": fields.use_qk_norm,
            # Queries that do not rotate grow instead.
            "temperatures": tuple(
                None
                if each or not fields.attn_temperature_tuning
                else Temperature(beta=fields.attn_scale, period=fields.floor_scale, first=1)
                for each in rotates
            ),
        }
        return Llama4Config(**{**{each.name: getattr(plain, each.name) for each in members(plain)}, **own})

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; what llama.cpp takes for granted is not in them."""
        own = ("interleave_moe_layer_step",)
        plain = config_from_gguf(model, checkpoint, own=own, score="sigmoid")
        if plain.experts is None or "attention.sliding_window" in Metadata.of(model).values:
            raise CheckpointError(f"{model.path}: a llama4 without experts or chunks is not implemented")
        assert plain.rotary is not None
        rotates = [(layer + 1) % _GGUF_PATTERN != 0 for layer in range(plain.num_layers)]
        experts = replace(plain.experts, weighs_inputs=True)
        own_values = {
            "rotary": replace(plain.rotary, interleaved=True),
            "rotates": tuple(rotates),
            "chunks": tuple(_GGUF_CHUNK if each else None for each in rotates),
            "experts": experts,
            "normalized": experts.count != _GGUF_UNNORMALIZED,
            "temperatures": tuple(None if each else _GGUF_TEMPERATURE for each in rotates),
        }
        return Llama4Config(**{**{each.name: getattr(plain, each.name) for each in members(plain)}, **own_values})

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
            },
        )
        sparse, dense = sparse_layers(self.config)
        if dense:
            gate_up = ("feed_forward.gate_proj", "feed_forward.up_proj")
            mlp = {"mlp.gate_up": gate_up, "mlp.down": ("feed_forward.down_proj",)}
            yield from layer_weights(self.config, mlp, layers=dense)
        if sparse:
            shared = "feed_forward.shared_expert"
            names = {
                "mlp.router": ("feed_forward.router",),
                "mlp.shared.gate_up": (f"{shared}.gate_proj", f"{shared}.up_proj"),
                "mlp.shared.down": (f"{shared}.down_proj",),
            }
            yield from layer_weights(self.config, names, layers=sparse)
            experts = "model.layers.{layer}.feed_forward.experts"
            yield from stacked_experts(self.config, f"{experts}.gate_up_proj", f"{experts}.down_proj", transposed=True)
