"""What config.json says, checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plugtron.errors import CheckpointError
from plugtron.utils import describe

__all__ = ["RopeFields", "StableLMFields"]


class RopeFields(BaseModel):
    """How queries and keys rotate, as transformers writes it since its version 5."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rope_type: Literal["default"] = "default"
    rope_theta: float = Field(default=10_000.0, gt=0)
    partial_rotary_factor: float = Field(default=0.25, gt=0, le=1)


class StableLMFields(BaseModel):
    """The fields that decide what is computed, with the defaults of transformers; others are ignored.

    A field that has one value only is one whose other values are not implemented.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    vocab_size: int = Field(default=50304, gt=0)
    hidden_size: int = Field(default=2560, gt=0)
    intermediate_size: int = Field(default=6912, gt=0)
    num_hidden_layers: int = Field(default=32, gt=0)
    num_attention_heads: int = Field(default=32, gt=0)
    num_key_value_heads: int = Field(default=32, gt=0)
    max_position_embeddings: int = Field(default=4096, gt=0)
    layer_norm_eps: float = Field(default=1e-5, gt=0)
    hidden_act: Literal["silu"] = "silu"
    tie_word_embeddings: bool = False
    use_qkv_bias: bool = False
    use_parallel_residual: bool = False
    qk_layernorm: Literal[False] = False
    rope_scaling: None = None
    rope_theta: float = Field(default=10_000.0, gt=0)
    partial_rotary_factor: float = Field(default=0.25, gt=0, le=1)
    rope_parameters: RopeFields | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any], file: str) -> StableLMFields:
        """Read config.json.

        Raises:
            CheckpointError: with `file`, each field that is wrong, and what is accepted.
        """
        try:
            fields = cls.model_validate(dict(values))
        except ValidationError as error:
            found = describe(error, cls, values)
            raise CheckpointError(f"{file}: {'; '.join(f'{_path(place)} {text}' for place, text in found)}") from None
        if fields.hidden_size % fields.num_attention_heads:
            heads = fields.num_attention_heads
            raise CheckpointError(f"{file}: hidden_size {fields.hidden_size} is no multiple of {heads} heads")
        return fields

    @property
    def rope(self) -> RopeFields:
        """How heads rotate, wherever it is written."""
        if self.rope_parameters is not None:
            return self.rope_parameters
        return RopeFields(rope_theta=self.rope_theta, partial_rotary_factor=self.partial_rotary_factor)


def _path(place: tuple[int | str, ...]) -> str:
    return ".".join(map(str, place))
