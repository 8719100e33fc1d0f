"""Decoders: a model in parts that any execution can run, and what engines and controllers need to know of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

if TYPE_CHECKING:
    import torch

    from plugtron.contracts.memory import AttentionMetadata, LayerState

__all__ = ["AttentionState", "Decoder", "HasFinalStates", "Layer", "ModelInfo", "Rotation"]

#: What all layers of a step share of positions, such as cosines and sines [T, 1, D]: the decoder's own choice.
Rotation: TypeAlias = "tuple[torch.Tensor, ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class AttentionState:
    """What an attention layer keeps: keys and values of this rank's heads; how far it looks back, see `LayerState`."""

    kv_heads: int
    head_dim: int
    dtype: torch.dtype
    window: int | None = None
    chunk: int | None = None

    @property
    def has_scales(self) -> bool:
        """Whether each key and each value of a head has a scale, in float32: those of integers do."""
        return not self.dtype.is_floating_point

    @property
    def bytes_per_token(self) -> int:
        """What a token takes, scales included."""
        return 2 * self.kv_heads * (self.head_dim * self.dtype.itemsize + (4 if self.has_scales else 0))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What engines and controllers need to know of a model. `states` has one entry per layer of this rank.

    `padded_vocab_size` is the width of the logits; ids from `vocab_size` on can never be drawn. `eos_ids` end a text
    where there is no tokenizer to say so. `final_size` is the width of final hidden states; None: `hidden_size`.
    A `headless` model gives hidden states alone.
    """

    vocab_size: int
    padded_vocab_size: int
    hidden_size: int
    max_positions: int
    states: tuple[AttentionState, ...]
    eos_ids: tuple[int, ...] = ()
    final_size: int | None = None
    headless: bool = False


class Layer(Protocol):
    """One layer of a decoder."""

    def __call__(
        self, hidden: torch.Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> torch.Tensor:
        """Map hidden states [T, H] to [T, H], reading and writing this layer's `state`."""
        ...


class Decoder(Protocol):
    """A model in three parts, so that an execution or a pipeline stage can run any range of it."""

    @property
    def layers(self) -> Sequence[Layer]:
        """This rank's layers, in order."""
        ...

    def embed(self, tokens: torch.Tensor, positions: torch.Tensor) -> torch.Tensor:
        """Map ids and positions [T] to hidden states [T, H]; only where the range begins with the first layer."""
        ...

    def rotation(self, positions: torch.Tensor) -> Rotation | None:
        """Compute what all layers of a step share, from positions [T]; None when they share nothing."""
        ...

    def head(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map hidden states [N, H] to this rank's logits [N, V / tp]; only where the range ends with the last layer."""
        ...


@runtime_checkable
class HasFinalStates(Protocol):
    """A decoder whose final hidden states can be had: a model's last hidden states as other software gives them."""

    def final_states(self, hidden: torch.Tensor) -> torch.Tensor:
        """Map hidden states [N, H] after the last layer to what the head projects to logits, [N, E]: their norm."""
        ...
