"""GLM-4 of 2024 (arXiv:2406.12793): a Llama of which half of each head rotates, channels against their neighbors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from plugtron.contracts import CheckpointReader, ModelDescription, Weight, WeightMap
from plugtron.nn import DecoderConfig
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.weights import NORMS, gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields
from plugtron_wrappers.huggingface.names import layer_weights, one_after_another, whole

__all__ = ["GLM"]


class GLMFields(DecoderFields):
    """Defaults are those of transformers."""

    num_key_value_heads: int | None = Field(default=2, gt=0)
    head_dim: int | None = Field(default=128, gt=0, lt=2**16)
    max_position_embeddings: int = Field(default=131072, gt=0, lt=2**31)
    rms_norm_eps: float = Field(default=1.5625e-7, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    partial_rotary_factor: float | None = Field(default=0.5, ge=0, le=1)
    attention_bias: bool = True


class GLM(Family):
    """Runs GLM-4 of 2024."""

    name = "glm"
    fields = GLMFields
    #: Names of norms, the decoder's and the file's.
    norms: ClassVar[dict[str, tuple[str, ...]]] = {
        "attention_norm": ("input_layernorm",),
        "mlp_norm": ("post_attention_layernorm",),
    }
    #: The same in GGUF files.
    gguf_norms: ClassVar[Mapping[str, str]] = NORMS

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        plain = plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps)
        assert plain.rotary is not None
        return replace(plain, rotary=replace(plain.rotary, interleaved=True), qkv_bias=fields.attention_bias)

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata."""
        plain = config_from_gguf(model, checkpoint, partial=True)
        assert plain.rotary is not None, "all layers rotate until a family says otherwise"
        return replace(plain, rotary=replace(plain.rotary, interleaved=True))

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors, norms=self.gguf_norms)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        config = self.config
        yield from whole(config)
        yield from layer_weights(
            config,
            {
                "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                "attention.output": ("self_attn.o_proj",),
                "mlp.down": ("mlp.down_proj",),
                **self.norms,
            },
        )
        yield from one_after_another(
            "stack.{layer}.mlp.gate_up",
            "model.layers.{layer}.mlp.gate_up_proj",
            [config.intermediate_size] * 2,
            bias=False,
        )
