"""Phi-3 (arXiv:2404.14219) and Phi-4-mini: a Llama with fused matrices, and two rotations for short and long texts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

from pydantic import Field

from plugtron import Options
from plugtron.contracts import CheckpointReader, ModelDescription, Weight, WeightMap
from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.gguf.rotary import longrope_from_gguf
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields
from plugtron_wrappers.huggingface.longrope import longrope
from plugtron_wrappers.huggingface.names import layer_weights, one_after_another, whole
from plugtron_wrappers.options import Phi3Options

__all__ = ["Phi3"]


class Phi3Fields(DecoderFields):
    """Defaults are those of transformers."""

    vocab_size: int = Field(default=32064, gt=0, lt=2**24)
    hidden_size: int = Field(default=3072, gt=0, lt=2**20)
    intermediate_size: int = Field(default=8192, gt=0, lt=2**22)
    num_hidden_layers: int = Field(default=32, gt=0, lt=10_000)
    num_attention_heads: int = Field(default=32, gt=0, lt=2**16)
    max_position_embeddings: int = Field(default=4096, gt=0, lt=2**31)
    original_max_position_embeddings: int | None = Field(default=4096, gt=0, lt=2**31)
    rms_norm_eps: float = Field(default=1e-5, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    sliding_window: int | None = Field(default=None, gt=0, lt=2**31)


class Phi3(Family):
    """Runs Phi-3 and Phi-4-mini."""

    name = "phi3"
    fields = Phi3Fields

    @classmethod
    def describe(cls, model: ModelDescription, checkpoint: CheckpointReader, options: Options) -> DecoderConfig:
        """Translate a model's own configuration; the options say which of two rotations is meant."""
        config = super().describe(model, checkpoint, options)
        if not isinstance(options, Phi3Options) or not options.long_factors:
            return config
        if model.format == "gguf":
            rotary, positions = longrope_from_gguf(Metadata.of(model), checkpoint, config.head_dim, long=True)
            return replace(config, rotary=rotary, max_positions=positions)
        fields, file = cls.read(model, options)
        if config.rotary is None or config.rotary.scaling != "factors":
            raise CheckpointError(f"{file}: long_factors is for models whose rotary scaling is longrope")
        rotary, positions = longrope(_as_today(fields, file), file, config.head_dim, long=True)
        return replace(config, rotary=rotary, max_positions=positions)

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json; of two rotations the one for short texts."""
        fields = _as_today(fields, file)
        scaled = fields.rope_parameters["rope_type"] == "longrope"
        unscaled = {**fields.rope_parameters, "rope_type": "default"}
        plain = plain_decoder(
            fields.model_copy(update={"rope_parameters": unscaled}), file, norm_epsilon=fields.rms_norm_eps
        )
        plain = replace(plain, windows=(fields.sliding_window,) * plain.num_layers)
        if not scaled:
            return plain
        rotary, positions = longrope(fields, file, plain.head_dim, long=False)
        return replace(plain, rotary=rotary, max_positions=positions)

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; of two rotations the one for short texts."""
        plain = config_from_gguf(model, checkpoint, partial=True)
        rotary, positions = longrope_from_gguf(Metadata.of(model), checkpoint, plain.head_dim, long=False)
        return replace(plain, rotary=rotary, max_positions=positions)

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors, ignored=("rope_factors_*.weight",))

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        config, layer = self.config, "model.layers.{layer}."
        heads, kv_heads = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
        qkv, gate_up = (heads, kv_heads, kv_heads), (config.intermediate_size,) * 2
        yield from whole(config)
        yield from one_after_another(
            "stack.{layer}.attention.qkv", f"{layer}self_attn.qkv_proj", qkv, bias=config.qkv_bias
        )
        yield from one_after_another(
            "stack.{layer}.mlp.gate_up", f"{layer}mlp.gate_up_proj", gate_up, bias=config.mlp_bias
        )
        yield from layer_weights(
            config,
            {
                "attention.output": ("self_attn.o_proj",),
                "attention_norm": ("input_layernorm",),
                "mlp_norm": ("post_attention_layernorm",),
                "mlp.down": ("mlp.down_proj",),
            },
        )


def _as_today(fields: Phi3Fields, file: str) -> Phi3Fields:
    """The same with rotary parameters as transformers writes them now, where longrope has one name of the three it had.

    Raises:
        CheckpointError: the scaling is another one.
    """
    rope = {**(fields.rope_scaling or fields.rope_parameters or {})}
    kind = rope.pop("type", "default")
    kind = rope.get("rope_type", kind)
    if kind not in ("default", "longrope", "su", "yarn"):
        raise CheckpointError(f"{file}: rotary scaling {kind!r} (accepted: default, longrope)")
    rope["rope_type"] = "default" if kind == "default" else "longrope"
    # It counts whatever stands among the rotary parameters.
    rope["original_max_position_embeddings"] = fields.original_max_position_embeddings
    return fields.model_copy(update={"rope_scaling": None, "rope_parameters": rope})
