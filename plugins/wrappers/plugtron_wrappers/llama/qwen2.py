"""Qwen2 and Qwen2.5."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from plugtron.nn import DecoderConfig
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.llama.relative import Relative, is_plain, windows_by_layer

__all__ = ["Qwen2"]


class Qwen2(Relative):
    """Qwen2 and Qwen2.5."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "num_key_value_heads": 32,
        "max_window_layers": 28,
        "sliding_window": 4096,
    }

    @classmethod
    def from_huggingface(cls, plain: DecoderConfig, fields: LlamaFields, file: str) -> DecoderConfig:
        """Biases of queries, keys and values; windows in some layers."""
        return replace(plain, qkv_bias=True, windows=windows_by_layer(fields, file))

    @classmethod
    def computes(cls, config: DecoderConfig) -> bool:
        """Those biases, and heads that are as wide as the hidden states together."""
        wide = config.head_dim * config.num_heads == config.hidden_size
        return config.qkv_bias and wide and is_plain(replace(config, qkv_bias=False))
