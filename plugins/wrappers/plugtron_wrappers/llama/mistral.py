"""Mistral 7B."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from plugtron.nn import DecoderConfig
from plugtron_wrappers.llama.fields import LlamaFields
from plugtron_wrappers.llama.relative import Relative, is_plain

__all__ = ["Mistral"]


class Mistral(Relative):
    """Mistral 7B."""

    defaults: ClassVar[Mapping[str, Any]] = {"sliding_window": 4096, "num_key_value_heads": 8}

    @classmethod
    def from_huggingface(cls, plain: DecoderConfig, fields: LlamaFields, file: str) -> DecoderConfig:
        """One window for all layers."""
        del file
        return replace(plain, windows=(fields.sliding_window,) * plain.num_layers)

    @classmethod
    def computes(cls, config: DecoderConfig) -> bool:
        """One window, nothing else."""
        window = config.windows[0]
        return window is not None and is_plain(replace(config, windows=(None,) * config.num_layers))

    @classmethod
    def written(cls, config: DecoderConfig) -> dict[str, Any]:
        """The window."""
        return {"sliding_window": config.windows[0]}
