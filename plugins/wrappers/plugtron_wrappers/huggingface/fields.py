"""The fields of config.json that most families have, with their types and ranges. Read without torch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from plugtron.errors import CheckpointError
from plugtron.utils import describe

if TYPE_CHECKING:
    from plugtron.nn import ActivationName

__all__ = [
    "ACTIVATIONS",
    "DecoderFields",
    "RopeFields",
    "activation_of",
    "every_other",
    "one_per_layer",
    "read_names",
    "validated",
    "windows_of",
]

Fields = TypeVar("Fields", bound=BaseModel)
Entry = TypeVar("Entry")
LayerType = Literal["full_attention", "sliding_attention", "chunked_attention"]

#: transformers' names of activations, and ours.
ACTIVATIONS: dict[str, ActivationName] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "quick_gelu": "gelu_quick",
    "relu": "relu",
    "relu2": "relu_squared",
}


class DecoderFields(BaseModel):
    """What decides what a decoder computes. A family adds its own, and its own defaults."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)

    vocab_size: int = Field(gt=0, lt=2**24)
    hidden_size: int = Field(gt=0, lt=2**20)
    intermediate_size: int = Field(gt=0, lt=2**22)
    num_hidden_layers: int = Field(gt=0, lt=10_000)
    num_attention_heads: int = Field(gt=0, lt=2**16)
    num_key_value_heads: int | None = Field(default=None, gt=0)
    head_dim: int | None = Field(default=None, gt=0, lt=2**16)
    max_position_embeddings: int = Field(default=2048, gt=0, lt=2**31)
    tie_word_embeddings: bool = False
    rope_theta: float = Field(default=10_000.0, gt=0, lt=1e15)
    rope_scaling: dict[str, Any] | None = None
    rope_parameters: dict[str, Any] | None = None
    original_max_position_embeddings: int | None = Field(default=None, gt=0, lt=2**31)
    partial_rotary_factor: float | None = Field(default=None, ge=0, le=1)


class RopeFields(BaseModel):
    """Rotary parameters, in both of the forms that transformers has had."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rope_type: Literal["default", "linear", "dynamic", "llama3", "yarn", "longrope"] = "default"
    type: str | None = None
    rope_theta: float | None = Field(default=None, gt=0, lt=1e15)
    partial_rotary_factor: float | None = Field(default=None, ge=0, le=1)
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
    short_factor: list[float] | None = None
    long_factor: list[float] | None = None


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


def activation_of(name: str, file: str, field: str = "hidden_act") -> ActivationName:
    """Our name of an activation.

    Raises:
        CheckpointError: it is none that is known.
    """
    if name not in ACTIVATIONS:
        raise CheckpointError(f"{file}: {field} {name!r} (accepted: {', '.join(ACTIVATIONS)})")
    return ACTIVATIONS[name]


def read_names(model: type[BaseModel]) -> Iterator[str]:
    """Under which names config.json may have a model's fields."""
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias or name]
        yield from (choice for choice in choices if isinstance(choice, str))


def one_per_layer(name: str, entries: Sequence[Entry], layers: int, file: str) -> Sequence[Entry]:
    """Return a list that must have an entry for each layer.

    Raises:
        CheckpointError: it has more or fewer.
    """
    if len(entries) != layers:
        raise CheckpointError(f"{file}: {name} has {len(entries)} entries for {layers} layers")
    return entries


def windows_of(kinds: Sequence[str], window: int | None, layers: int, file: str) -> tuple[int | None, ...]:
    """How far each layer looks back, by its kind: the sliding ones as far as the window, the others all the way.

    Raises:
        CheckpointError: there are more or fewer kinds than layers, or sliding ones without a window.
    """
    sliding = [kind == "sliding_attention" for kind in one_per_layer("layer_types", kinds, layers, file)]
    if window is None and any(sliding):
        raise CheckpointError(f"{file}: sliding_window must say how far layers of sliding_attention look back")
    return tuple(window if each else None for each in sliding)


def every_other(layers: int, pattern: int) -> list[str]:
    """The kinds of layers of which each `pattern`-th looks all the way back, as sliding_window_pattern says it."""
    return ["sliding_attention" if (layer + 1) % pattern else "full_attention" for layer in range(layers)]
