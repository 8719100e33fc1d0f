"""Command R7B and Command A of Cohere (arXiv:2504.00698): most layers have a window and rotate, the others neither."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field

from plugtron.contracts import CheckpointReader, ModelDescription
from plugtron.nn import DecoderConfig
from plugtron_wrappers.cohere.cohere import Cohere, CohereFields
from plugtron_wrappers.gguf.config import windows_from_gguf
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.huggingface.fields import DecoderFields, every_other, windows_of

__all__ = ["Cohere2"]

#: A layer without a window in so many, where a GGUF file does not say it.
_GGUF_PATTERN = 4


class Cohere2Fields(CohereFields):
    """Defaults are those of transformers."""

    rope_theta: float = Field(default=10_000.0, gt=0, lt=1e15)
    sliding_window: int | None = Field(default=4096, gt=0, lt=2**31)
    sliding_window_pattern: int = Field(default=4, gt=0)
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None


class Cohere2(Cohere):
    """Runs Command R7B and Command A."""

    name = "cohere2"
    fields: ClassVar[type[DecoderFields]] = Cohere2Fields
    gguf_keys: ClassVar[tuple[str, ...]] = (*Cohere.gguf_keys, "attention.sliding_window_pattern")

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        # Whatever is written, heads are as wide as the hidden states together, and have no norms.
        fields = fields.model_copy(update={"head_dim": None, "use_qk_norm": False})
        layers = fields.num_hidden_layers
        kinds = fields.layer_types or every_other(layers, fields.sliding_window_pattern)
        windows = windows_of(kinds, fields.sliding_window, layers, file)
        rotates = tuple(window is not None for window in windows)
        return replace(super().configure(fields, file), windows=windows, rotates=rotates)

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata."""
        plain = super().configure_gguf(model, checkpoint)
        windows = windows_from_gguf(Metadata.of(model), plain.num_layers, full_every=_GGUF_PATTERN)
        return replace(plain, windows=windows, rotates=tuple(window is not None for window in windows))
