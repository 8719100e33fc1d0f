"""Gemma 3 (arXiv:2503.19786): five layers with a window to one without, and rotations of their own for either kind."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from plugtron import Options
from plugtron.contracts import CheckpointReader, ModelDescription, Weight, WeightMap
from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig, RotaryConfig
from plugtron_wrappers.gemma.gemma2 import GGUF_NORMS, LAYER_NAMES, Gemma2Decoder
from plugtron_wrappers.gguf.config import config_from_gguf, windows_from_gguf
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, one_per_layer
from plugtron_wrappers.huggingface.names import layer_weights, whole
from plugtron_wrappers.huggingface.rope import rotary_by_kind

__all__ = ["Gemma3"]

_WHOLE = "Gemma3ForConditionalGeneration"
#: What llama.cpp takes for granted: a layer without a window in so many, the base of the others' rotation, and how many
#: layers the model has whose scores are scaled by another width than a head's.
_GGUF_PATTERN, _LOCAL_BASE, _LAYERS_OF_27B = 6, 10_000.0, 62
_NORMS = {"attention.query_norm": ("self_attn.q_norm",), "attention.key_norm": ("self_attn.k_norm",)}


class Gemma3Fields(DecoderFields):
    """Defaults are those of transformers, which published folders rely on."""

    vocab_size: int = Field(default=262208, gt=0, lt=2**24)
    hidden_size: int = Field(default=2304, gt=0, lt=2**20)
    intermediate_size: int = Field(default=9216, gt=0, lt=2**22)
    num_hidden_layers: int = Field(default=26, gt=0, lt=10_000)
    num_attention_heads: int = Field(default=8, gt=0, lt=2**16)
    num_key_value_heads: int | None = Field(default=4, gt=0)
    head_dim: int | None = Field(default=256, gt=0, lt=2**16)
    max_position_embeddings: int = Field(default=131_072, gt=0, lt=2**31)
    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    attention_bias: bool = False
    tie_word_embeddings: bool = True
    query_pre_attn_scalar: float = Field(default=256.0, gt=0)
    sliding_window: int | None = Field(default=4096, gt=0, lt=2**31)
    sliding_window_pattern: int = Field(default=6, gt=0)
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None
    rope_theta: float = Field(default=1_000_000.0, gt=0, lt=1e15)
    rope_local_base_freq: float = Field(default=10_000.0, gt=0, lt=1e15)
    partial_rotary_factor: float | None = Field(default=None, ge=1, le=1)
    final_logit_softcapping: float | None = Field(default=None, gt=0)
    attn_logit_softcapping: Literal[None] = None
    use_bidirectional_attention: Literal[None, False] = None


class Gemma3(Family):
    """Runs Gemma 3, and the text part of those that see."""

    name = "gemma3"
    fields = Gemma3Fields
    decoder_class = Gemma2Decoder
    seeing: ClassVar[Mapping[str, tuple[str, ...]]] = {_WHOLE: ("vision_config",)}

    @classmethod
    def describe(cls, model: ModelDescription, checkpoint: CheckpointReader, options: Options) -> DecoderConfig:
        """Translate a model's own configuration, or that of its text part."""
        config = super().describe(model, checkpoint, options)
        if model.architecture == _WHOLE and config.logit_soft_cap is not None:
            place = f"{model.path / 'config.json'}: text_config"
            raise CheckpointError(f"{place}: final_logit_softcapping is not implemented for {_WHOLE}")
        return config

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        layers, every = fields.num_hidden_layers, fields.sliding_window_pattern
        kinds = fields.layer_types or [
            "sliding_attention" if (layer + 1) % every else "full_attention" for layer in range(layers)
        ]
        bases = {"full_attention": fields.rope_theta, "sliding_attention": fields.rope_local_base_freq}
        rotaries = rotary_by_kind(fields, file, fields.head_dim, bases, scaled="full_attention")
        plain = plain_decoder(
            fields.model_copy(update={"rope_parameters": None, "rope_scaling": None}),
            file,
            norm_epsilon=fields.rms_norm_eps,
        )
        return replace(
            plain,
            activation="gelu_tanh",
            norm_offset=1.0,
            windows=tuple(
                fields.sliding_window if kind == "sliding_attention" else None
                for kind in one_per_layer("layer_types", kinds, layers, file)
            ),
            rotary=rotaries["full_attention"],
            layer_rotaries=tuple(rotaries[kind] for kind in kinds),
            qk_norm=True,
            qkv_bias=fields.attention_bias,
            output_bias=fields.attention_bias,
            attention_scales=(fields.query_pre_attn_scalar**-0.5,) * layers,
            logit_soft_cap=fields.final_logit_softcapping,
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; what llama.cpp takes for granted is not in them."""
        own = ("attention.sliding_window_pattern", "rope.freq_base_swa", "final_logit_softcapping")
        plain, metadata = config_from_gguf(model, checkpoint, own=own), Metadata.of(model)
        windows = windows_from_gguf(metadata, plain.num_layers, full_every=_GGUF_PATTERN)
        local = RotaryConfig(base=float(metadata.get("rope.freq_base_swa", _LOCAL_BASE)))
        assert plain.rotary is not None, "llama.cpp's files of this architecture have it"
        width = plain.hidden_size // plain.num_heads if plain.num_layers == _LAYERS_OF_27B else plain.head_dim
        return replace(
            plain,
            activation="gelu_tanh",
            attention_scales=(width**-0.5,) * plain.num_layers,
            windows=windows,
            layer_rotaries=tuple(local if window else plain.rotary for window in windows),
            logit_soft_cap=metadata.get("final_logit_softcapping", None),
        )

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files, whose norms have 1 added to their weights."""
        return gguf_weights(self.config, self.checkpoint.tensors, norms=GGUF_NORMS)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        yield from whole(self.config)
        yield from layer_weights(self.config, {**LAYER_NAMES, **_NORMS})
