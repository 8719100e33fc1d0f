"""Qwen3, dense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from plugtron.nn import DecoderConfig
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.llama.relative import Relative, is_plain, windows_by_layer

__all__ = ["Qwen3"]


class Qwen3(Relative):
    """Qwen3, dense."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "num_key_value_heads": 32,
        "head_dim": 128,
        "max_window_layers": 28,
        "sliding_window": 4096,
    }

    @classmethod
    def from_huggingface(cls, plain: DecoderConfig, fields: LlamaFields, file: str) -> DecoderConfig:
        """Norms of queries and keys; biases in attention; windows in some layers."""
        bias = fields.attention_bias
        windows = windows_by_layer(fields, file)
        return replace(plain, qk_norm=True, qkv_bias=bias, output_bias=bias, windows=windows)

    @classmethod
    def computes(cls, config: DecoderConfig) -> bool:
        """Norms of queries and keys, and all biases of attention or none."""
        bare = replace(config, qk_norm=False, qkv_bias=False, output_bias=False)
        return config.qk_norm and config.qkv_bias == config.output_bias and is_plain(bare)

    @classmethod
    def written(cls, config: DecoderConfig) -> dict[str, Any]:
        """The biases."""
        return {"attention_bias": config.qkv_bias}
