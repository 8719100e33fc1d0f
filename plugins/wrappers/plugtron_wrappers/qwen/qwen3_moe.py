"""Qwen3-MoE (arXiv:2505.09388): Qwen3 with a mixture of experts in most of its layers."""

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
from plugtron_wrappers.huggingface.experts import expert_weights, sparse_layers
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.names import layer_weights, whole
from plugtron_wrappers.qwen.mixture import MixtureFields, mixture

__all__ = ["Qwen3Moe"]


class Qwen3MoeFields(MixtureFields):
    """Defaults are those of transformers."""

    num_key_value_heads: int | None = Field(default=4, gt=0)
    attention_bias: bool = False
    num_experts: int = Field(default=128, ge=0, lt=2**16)
    num_experts_per_tok: int = Field(default=8, gt=0)
    moe_intermediate_size: int = Field(default=768, gt=0, lt=2**22)


class Qwen3Moe(Family):
    """Runs Qwen3-MoE."""

    name = "qwen3_moe"
    fields = Qwen3MoeFields

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        plain = plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps)
        window = fields.sliding_window if fields.use_sliding_window else None
        return replace(
            mixture(plain, fields, file),
            qk_norm=True,
            qkv_bias=fields.attention_bias,
            output_bias=fields.attention_bias,
            windows=(window,) * plain.num_layers,
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; that scores are divided by their sum, llama.cpp takes for granted."""
        return config_from_gguf(model, checkpoint, score="softmax_renormalized")

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
                "attention.query_norm": ("self_attn.q_norm",),
                "attention.key_norm": ("self_attn.k_norm",),
                "attention_norm": ("input_layernorm",),
                "mlp_norm": ("post_attention_layernorm",),
            },
        )
        sparse, dense = sparse_layers(self.config)
        if dense:
            mlp = {"mlp.gate_up": ("mlp.gate_proj", "mlp.up_proj"), "mlp.down": ("mlp.down_proj",)}
            yield from layer_weights(self.config, mlp, layers=dense)
        if sparse:
            yield from layer_weights(self.config, {"mlp.router": ("mlp.gate",)}, layers=sparse)
            yield from expert_weights(self.config, self.checkpoint, "model.layers.{layer}.mlp.experts")
