"""Qwen2-MoE (arXiv:2407.10671): Qwen2 with a mixture of experts, and beside them one that sees every token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from plugtron.contracts import CheckpointReader, ModelDescription, Weight, WeightMap
from plugtron.nn import DecoderConfig
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.experts import expert_weights, sparse_layers
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import one_per_layer
from plugtron_wrappers.huggingface.names import layer_weights, whole
from plugtron_wrappers.qwen.mixture import MixtureFields, mixture

__all__ = ["Qwen2Moe"]


class Qwen2MoeFields(MixtureFields):
    """Defaults are those of transformers."""

    num_key_value_heads: int | None = Field(default=16, gt=0)
    qkv_bias: bool = True
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None
    num_experts: int = Field(default=60, ge=0, lt=2**16)
    num_experts_per_tok: int = Field(default=4, gt=0)
    moe_intermediate_size: int = Field(default=1408, gt=0, lt=2**22)
    shared_expert_intermediate_size: int = Field(default=5632, gt=0, lt=2**22)


class Qwen2Moe(Family):
    """Runs Qwen1.5-MoE and Qwen2-MoE."""

    name = "qwen2_moe"
    fields = Qwen2MoeFields

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        config = mixture(plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps), fields, file)
        if config.experts is not None:
            shared = replace(config.experts, shared_size=fields.shared_expert_intermediate_size, shared_gate=True)
            config = replace(config, experts=shared)
        return replace(config, qkv_bias=fields.qkv_bias, windows=_windows(fields, file))

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; which experts are chosen by scores of all of them, llama.cpp takes for granted."""
        return config_from_gguf(model, checkpoint, score="softmax")

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
            mlp = {"mlp.gate_up": ("mlp.gate_proj", "mlp.up_proj"), "mlp.down": ("mlp.down_proj",)}
            yield from layer_weights(self.config, mlp, layers=dense)
        if sparse:
            shared = {
                "mlp.router": ("mlp.gate",),
                "mlp.shared.gate_up": ("mlp.shared_expert.gate_proj", "mlp.shared_expert.up_proj"),
                "mlp.shared.down": ("mlp.shared_expert.down_proj",),
                "mlp.shared_gate": ("mlp.shared_expert_gate",),
            }
            yield from layer_weights(self.config, shared, layers=sparse)
            yield from expert_weights(self.config, self.checkpoint, "model.layers.{layer}.mlp.experts")


def _windows(fields: Any, file: str) -> tuple[int | None, ...]:
    """How far each layer looks back: where windows are used, every other one of the first layers has one."""
    layers = fields.num_hidden_layers
    if not fields.use_sliding_window or not fields.sliding_window:
        return (None,) * layers
    kinds = fields.layer_types or [
        "sliding_attention" if layer % 2 == 0 and layer < (fields.max_window_layers or 0) else "full_attention"
        for layer in range(layers)
    ]
    return tuple(
        fields.sliding_window if kind == "sliding_attention" else None
        for kind in one_per_layer("layer_types", kinds, layers, file)
    )
