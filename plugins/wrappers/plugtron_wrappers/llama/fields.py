"""The fields of config.json that the Llama family reads, with their types and ranges."""

from __future__ import annotations

from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from plugtron.errors import CheckpointError
from plugtron.utils import describe

__all__ = ["LlamaFields", "RopeFields", "validated"]

Fields = TypeVar("Fields", bound=BaseModel)
LayerType = Literal["full_attention", "sliding_attention"]


class LlamaFields(BaseModel):
    """What decides what the model computes. Defaults are Llama's; other classes of transformers have their own."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    vocab_size: int = Field(gt=0, lt=2**24)
    hidden_size: int = Field(gt=0, lt=2**20)
    intermediate_size: int = Field(gt=0, lt=2**22)
    num_hidden_layers: int = Field(gt=0, lt=10_000)
    num_attention_heads: int = Field(gt=0, lt=2**16)
    num_key_value_heads: int | None = Field(default=None, gt=0)
    head_dim: int | None = Field(default=None, gt=0, lt=2**16)
    max_position_embeddings: int = Field(default=2048, gt=0, lt=2**31)
    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool = False
    mlp_bias: bool = False
    tie_word_embeddings: bool = False
    sliding_window: int | None = Field(default=None, gt=0, lt=2**31)
    use_sliding_window: bool = False
    max_window_layers: int | None = Field(default=None, ge=0)
    layer_types: list[LayerType] | None = None
    no_rope_layers: list[Literal[0, 1]] | None = None
    no_rope_layer_interval: int = Field(default=4, gt=0)
    num_local_experts: int = Field(default=8, gt=0, lt=2**16)
    num_experts_per_tok: int = Field(default=2, gt=0)
    rope_theta: float = Field(default=10_000.0, gt=0, lt=1e15)
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    original_max_position_embeddings: int | None = Field(default=None, gt=0, lt=2**31)


class RopeFields(BaseModel):
    """Rotary parameters, in both of the forms that transformers has had."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rope_type: Literal["default", "linear", "dynamic", "llama3", "yarn"] = "default"
    type: str | None = None
    rope_theta: float | None = Field(default=None, gt=0, lt=1e15)
    partial_rotary_factor: Literal[1, None] = None
    factor: float | None = Field(default=None, gt=0, lt=1e6)
    original_max_position_embeddings: int | None = Field(default=None, gt=0, lt=2**31)
    low_freq_factor: float | None = Field(default=None, gt=0, lt=1e6)
    high_freq_factor: float | None = Field(default=None, gt=0, lt=1e6)
    beta_fast: float | None = Field(default=None, gt=0, lt=1e6)
    beta_slow: float | None = Field(default=None, gt=0, lt=1e6)
    attention_factor: float | None = Field(default=None, gt=0, lt=1e6)
    mscale: float | None = Field(default=None, ge=0)
    mscale_all_dim: float | None = Field(default=None, ge=0)
    truncate: bool = True


def validated(model: type[Fields], values: dict[str, Any], place: str) -> Fields:
    """Read values into a model.

    Raises:
        CheckpointError: naming `place`, each field, and what is accepted.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        found = describe(error, model, values)
        texts = [f"{'.'.join(map(str, location))} {text}" for location, text in found]
        raise CheckpointError(f"{place}: {'; '.join(texts)}") from None
