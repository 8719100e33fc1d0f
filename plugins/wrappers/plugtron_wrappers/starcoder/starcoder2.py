"""StarCoder2 (arXiv:2402.19173): layer norms and biases, grouped queries that rotate, and a window."""

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
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, activation_of
from plugtron_wrappers.huggingface.names import layer_weights, whole

__all__ = ["StarCoder2"]

#: What llama.cpp takes for granted.
_GGUF_ACTIVATION = "gelu_tanh"


class StarCoder2Fields(DecoderFields):
    """Defaults are those of transformers."""

    num_key_value_heads: int | None = Field(default=2, gt=0)
    max_position_embeddings: int = Field(default=4096, gt=0, lt=2**31)
    hidden_act: str = "gelu_pytorch_tanh"
    norm_epsilon: float = Field(default=1e-5, gt=0, lt=1)
    use_bias: bool = True
    sliding_window: int | None = Field(default=None, gt=0, lt=2**31)
    tie_word_embeddings: bool = True
    norm_type: Literal["layer_norm"] = "layer_norm"
    mlp_type: Literal["default"] = "default"
    # In published folders, and of no effect.
    activation_function: Any = None
    layer_norm_epsilon: Any = None


class StarCoder2(Family):
    """Runs StarCoder2."""

    name = "starcoder2"
    fields = StarCoder2Fields

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        return replace(
            plain_decoder(fields, file, norm_epsilon=fields.norm_epsilon),
            norm="layer",
            activation=activation_of(fields.hidden_act, file),
            gated=False,
            windows=(fields.sliding_window,) * fields.num_hidden_layers,
            qkv_bias=fields.use_bias,
            output_bias=fields.use_bias,
            mlp_bias=fields.use_bias,
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; llama.cpp's converter leaves out how far layers look back."""
        plain = config_from_gguf(model, checkpoint, norm="layer")
        return replace(plain, activation=_GGUF_ACTIVATION, gated=False)

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
                "mlp.up": ("mlp.c_fc",),
                "mlp.down": ("mlp.c_proj",),
            },
        )
