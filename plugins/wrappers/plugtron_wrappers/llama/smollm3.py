"""SmolLM3: every fourth layer without positions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from plugtron.nn import DecoderConfig
from plugtron_wrappers.huggingface.fields import one_per_layer
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.llama.relative import Relative, windows_by_layer

__all__ = ["SmolLM3"]


class SmolLM3(Relative):
    """SmolLM3: every fourth layer without positions."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "num_key_value_heads": 4,
        "tie_word_embeddings": True,
        "rope_theta": 2_000_000.0,
    }
    permuted = True

    @classmethod
    def from_huggingface(cls, plain: DecoderConfig, fields: LlamaFields, file: str) -> DecoderConfig:
        """Which layers rotate, and biases; where windows are asked for, layers without positions have one."""
        layers, bias = plain.num_layers, fields.attention_bias
        # Despite its name, 1 in the list means that the layer does rotate.
        written = fields.no_rope_layers or [(layer + 1) % fields.no_rope_layer_interval for layer in range(layers)]
        rotates = tuple(map(bool, one_per_layer("no_rope_layers", written, layers, file)))
        windows = windows_by_layer(fields, file)
        if fields.use_sliding_window and fields.layer_types is None:
            windows = tuple(None if rotating else fields.sliding_window for rotating in rotates)
        mlp = fields.mlp_bias
        return replace(plain, rotates=rotates, windows=windows, qkv_bias=bias, output_bias=bias, mlp_bias=mlp)

    @classmethod
    def from_gguf(cls, plain: DecoderConfig) -> DecoderConfig:
        """Files do not say which layers leave positions out."""
        return replace(plain, rotates=tuple((layer + 1) % 4 != 0 for layer in range(plain.num_layers)))
