"""Ministral 3: a Llama whose queries grow with their positions (arXiv:2501.19399), as Llama 4 has it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from plugtron import Options
from plugtron.contracts import CheckpointReader, ModelDescription, Weight, WeightMap
from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig, Temperature
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, validated
from plugtron_wrappers.huggingface.names import layer_weights, whole

__all__ = ["Ministral3"]

_ROPE: dict[str, Any] = {
    "rope_type": "yarn",
    "rope_theta": 1_000_000.0,
    "factor": 16.0,
    "original_max_position_embeddings": 16384,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
    "llama_4_scaling_beta": 0.1,
}


class Ministral3Fields(DecoderFields):
    """Defaults are those of transformers."""

    num_key_value_heads: int | None = Field(default=8, gt=0)
    head_dim: int | None = Field(default=128, gt=0, lt=2**16)
    max_position_embeddings: int = Field(default=262144, gt=0, lt=2**31)
    rms_norm_eps: float = Field(default=1e-5, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    attention_bias: Literal[False] = False
    mlp_bias: Literal[False] = False
    sliding_window: int | None = Field(default=None, gt=0, lt=2**31)


class TemperatureFields(BaseModel):
    """What rope_parameters says of queries; without `llama_4_scaling_beta`, they stay as they are."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    llama_4_scaling_beta: float = 0.0
    original_max_position_embeddings: int | None = Field(default=None, gt=0, lt=2**31)


class Ministral3(Family):
    """Runs Ministral 3."""

    name = "ministral3"
    fields = Ministral3Fields
    seeing: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "Mistral3ForConditionalGeneration": (
            *("vision_config", "vision_feature_layer", "multimodal_projector_bias", "projector_hidden_act"),
        )
    }

    @classmethod
    def describe(cls, model: ModelDescription, checkpoint: CheckpointReader, options: Options) -> DecoderConfig:
        """Translate a model's own configuration, or that of its text part, which may be of another family."""
        text = model.configuration.get("text_config", {})
        if model.architecture in cls.seeing and text.get("model_type") != "ministral3":
            place = f"{model.path / 'config.json'}: text_config"
            raise CheckpointError(f"{place}: model_type {text.get('model_type')!r} (accepted: 'ministral3')")
        return super().describe(model, checkpoint, options)

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        rope = fields.rope_scaling or fields.rope_parameters or _ROPE
        queries = validated(TemperatureFields, rope, f"{file}: rope_parameters")
        own = ("llama_4_scaling_beta", "max_position_embeddings")
        rotary = {name: value for name, value in rope.items() if name not in own}
        plain = plain_decoder(
            fields.model_copy(update={"rope_parameters": rotary, "rope_scaling": None}),
            file,
            norm_epsilon=fields.rms_norm_eps,
        )
        period = queries.original_max_position_embeddings or fields.max_position_embeddings
        temperature = Temperature(beta=queries.llama_4_scaling_beta, period=period)
        return replace(
            plain,
            windows=(fields.sliding_window,) * plain.num_layers,
            temperatures=(temperature if temperature.beta else None,) * plain.num_layers,
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata."""
        plain, metadata = config_from_gguf(model, checkpoint, own=("attention.temperature_scale",)), Metadata.of(model)
        period = metadata.get("rope.scaling.original_context_length", plain.max_positions)
        temperature = Temperature(beta=metadata.get("attention.temperature_scale", 0.0), period=period)
        return replace(plain, temperatures=(temperature if temperature.beta else None,) * plain.num_layers)

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors, permuted=True)

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
                "mlp.gate_up": ("mlp.gate_proj", "mlp.up_proj"),
                "mlp.down": ("mlp.down_proj",),
            },
        )
