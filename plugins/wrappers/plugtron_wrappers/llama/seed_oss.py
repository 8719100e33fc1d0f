"""Seed-OSS."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from plugtron.nn import DecoderConfig
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.llama.relative import Relative

__all__ = ["SeedOss"]


class SeedOss(Relative):
    """Seed-OSS: fields of their own for biases of queries, keys and values, of attention's output, and of the MLP."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "num_key_value_heads": 8,
        "head_dim": 128,
        "max_position_embeddings": 524288,
        "attention_bias": True,
    }
    gguf_norms: ClassVar[Mapping[str, str]] = {"attention_norm": "attn_norm", "mlp_norm": "post_attention_norm"}

    @classmethod
    def from_huggingface(cls, plain: DecoderConfig, fields: LlamaFields, file: str) -> DecoderConfig:
        """Its biases."""
        del file
        qkv, output, mlp = fields.attention_bias, fields.attention_out_bias, fields.mlp_bias
        return replace(plain, qkv_bias=qkv, output_bias=output, mlp_bias=mlp)
