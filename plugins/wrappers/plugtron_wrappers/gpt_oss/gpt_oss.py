"""gpt-oss (arXiv:2508.10925): sinks in attention, windows in turn, experts with biases and a clamped gate."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from plugtron.contracts import CheckpointReader, ModelDescription, Weight, WeightMap
from plugtron.nn import DecoderConfig, ExpertsConfig
from plugtron_wrappers.gguf.config import config_from_gguf, windows_from_gguf
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.experts import check_choice, stacked_experts, stored_as
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, one_per_layer
from plugtron_wrappers.huggingface.names import layer_weights, whole
from plugtron_wrappers.weight_rules import linear

__all__ = ["GptOss"]

#: Norms of a layer, and their names in GGUF files.
_GGUF_NORMS = {"attention_norm": "attn_norm", "mlp_norm": "post_attention_norm"}
#: What llama.cpp takes for granted: a layer without a window in so many, and what gates are clamped to.
_GGUF_PATTERN, _GGUF_LIMIT = 2, 7.0

#: What a folder without any rotary parameters means.
_ROTARY = {
    "rope_type": "yarn",
    "factor": 32.0,
    "beta_fast": 32.0,
    "beta_slow": 1.0,
    "truncate": False,
    "original_max_position_embeddings": 4096,
}


class GptOssFields(DecoderFields):
    """Defaults are those of transformers."""

    num_key_value_heads: int | None = Field(default=8, gt=0)
    head_dim: int | None = Field(default=64, gt=0, lt=2**16)
    max_position_embeddings: int = Field(default=131072, gt=0, lt=2**31)
    rms_norm_eps: float = Field(default=1e-5, gt=0, lt=1)
    rope_theta: float = Field(default=150_000.0, gt=0, lt=1e15)
    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool = True
    sliding_window: int | None = Field(default=128, gt=0, lt=2**31)
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None
    num_local_experts: int = Field(default=128, gt=0, lt=2**16)
    num_experts_per_tok: int = Field(default=4, gt=0)
    experts_per_token: int | None = None  # the same once more, in published folders
    swiglu_alpha: float = Field(default=1.702, ge=1.702, le=1.702)  # that of quick gelu
    swiglu_limit: float = Field(default=7.0, gt=0)


class GptOss(Family):
    """Runs gpt-oss."""

    name = "gpt_oss"
    fields = GptOssFields

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        check_choice(file, fields.num_experts_per_tok, fields.num_local_experts)
        if not (fields.rope_parameters or fields.rope_scaling):
            fields = fields.model_copy(update={"rope_scaling": _ROTARY})
        layers, bias = fields.num_hidden_layers, fields.attention_bias
        # Where they are not said, every other layer has a window, beginning with the first.
        kinds = fields.layer_types or [("sliding_attention", "full_attention")[layer % 2] for layer in range(layers)]
        return replace(
            plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps),
            activation="gelu_quick",
            windows=tuple(
                fields.sliding_window if kind == "sliding_attention" else None
                for kind in one_per_layer("layer_types", kinds, layers, file)
            ),
            sinks=True,
            qkv_bias=bias,
            output_bias=bias,
            mlp_bias=True,
            sparse=(True,) * layers,
            experts=ExpertsConfig(
                count=fields.num_local_experts,
                top_k=fields.num_experts_per_tok,
                size=fields.intermediate_size,
                router_bias=True,
                limit=fields.swiglu_limit,
                up_offset=1.0,
            ),
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; what llama.cpp takes for granted is not in them."""
        own = ("attention.sliding_window_pattern",)
        plain = config_from_gguf(model, checkpoint, own=own, score="softmax_chosen")
        assert plain.rotary is not None and plain.experts is not None
        return replace(
            plain,
            activation="gelu_quick",
            windows=windows_from_gguf(Metadata.of(model), plain.num_layers, full_every=_GGUF_PATTERN),
            sinks=True,
            rotary=replace(plain.rotary, truncate=False),
            experts=replace(plain.experts, limit=_GGUF_LIMIT, up_offset=1.0),
        )

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        sinks = Weight(parameter="stack.{layer}.attention.core.sinks", tensors=("blk.{layer}.attn_sinks.weight",))
        return gguf_weights(self.config, self.checkpoint.tensors, norms=_GGUF_NORMS, more=[sinks])

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        layer = "model.layers.{layer}."
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
        yield Weight(parameter="stack.{layer}.attention.core.sinks", tensors=(f"{layer}self_attn.sinks",))
        yield from linear("stack.{layer}.mlp.router", (f"{layer}mlp.router",), bias=True)
        experts = f"{layer}mlp.experts"
        # Blocks of four bits are stored output by output, other numbers input by input.
        turned = stored_as(self.checkpoint, ".experts.gate_up_proj") != "MXFP4"
        yield from stacked_experts(
            self.config, f"{experts}.gate_up_proj", f"{experts}.down_proj", transposed=turned, interleaved=True
        )
