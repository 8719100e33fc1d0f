"""Ministral, the first generation: windows in some layers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from plugtron.nn import DecoderConfig
from plugtron_wrappers.huggingface.fields import windows_of
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.llama.relative import Relative

__all__ = ["Ministral"]


class Ministral(Relative):
    """Ministral 8B of 2024."""

    defaults: ClassVar[Mapping[str, Any]] = {
        "num_key_value_heads": 8,
        "max_position_embeddings": 131072,
        "sliding_window": 4096,
    }

    @classmethod
    def from_huggingface(cls, plain: DecoderConfig, fields: LlamaFields, file: str) -> DecoderConfig:
        """Windows as layer_types says; without it, in all layers."""
        kinds = fields.layer_types
        if kinds is None:
            return replace(plain, windows=(fields.sliding_window,) * plain.num_layers)
        return replace(plain, windows=windows_of(kinds, fields.sliding_window, plain.num_layers, file))
