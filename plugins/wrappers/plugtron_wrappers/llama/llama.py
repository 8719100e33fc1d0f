"""Llama 1 to 3, and what calls itself so: Yi, TinyLlama, SmolLM 1 and 2."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plugtron.nn import DecoderConfig
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.llama.relative import Relative, is_plain

__all__ = ["Llama"]


class Llama(Relative):
    """Llama 1 to 3, and what calls itself so: Yi, TinyLlama, SmolLM 1 and 2."""

    permuted = True

    @classmethod
    def from_huggingface(cls, plain: DecoderConfig, fields: LlamaFields, file: str) -> DecoderConfig:
        """Biases in attention and MLP."""
        del file
        bias = fields.attention_bias
        return replace(plain, qkv_bias=bias, output_bias=bias, mlp_bias=fields.mlp_bias)

    @classmethod
    def computes(cls, config: DecoderConfig) -> bool:
        """All biases of attention or none."""
        bare = replace(config, qkv_bias=False, output_bias=False, mlp_bias=False)
        return is_plain(bare) and config.qkv_bias == config.output_bias

    @classmethod
    def written(cls, config: DecoderConfig) -> dict[str, Any]:
        """The biases."""
        return {"attention_bias": config.qkv_bias, "mlp_bias": config.mlp_bias}
