"""Attention over KV memory, as a component: what a torch step calls in every attention layer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from plugtron.contracts.memory import AttentionMetadata, LayerState

__all__ = ["AttentionBackend", "Scores"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What a product of query and key becomes before the softmax, in this order. h: query heads of this rank.

    Args:
        scale: what it is multiplied with.
        soft_cap: capped softly, cap · tanh(score / cap) (arXiv:2408.00118); None: not.
        slopes: [h] float32, what each head's scores gain with every position (ALiBi, arXiv:2108.12409); None: nothing.
        sinks: [h], a score for each head that takes its share of the weight, and has no value (arXiv:2309.17453);
            None: the weights of what is seen sum to 1.
    """

    scale: float
    soft_cap: float | None = None
    slopes: Tensor | None = None
    sinks: Tensor | None = None


class AttentionBackend(ABC):
    """Writes keys and values to memory, and lets queries look at what is there.

    Shapes: T tokens, H query heads and K key-value heads of this rank, D the width of a head. H / K queries share each
    key-value head.

    Attributes:
        takes_int8: memory may be int8, to be multiplied with the scales of `LayerState`; runs that ask for it are
            refused where it may not.
    """

    takes_int8: ClassVar[bool] = False

    @abstractmethod
    def write(self, key: Tensor, value: Tensor, state: LayerState, memory: AttentionMetadata) -> None:
        """Put keys and values [T, K, D] in their places, `memory.write_blocks` and `memory.write_offsets`."""

    @abstractmethod
    def attend(self, query: Tensor, state: LayerState, memory: AttentionMetadata, scores: Scores) -> Tensor:
        """Let each token's queries [T, H, D] look at its row's history, causally and as far as `state` says.

        Returns:
            [T, H, D]. A row's values may depend on that row alone.
        """
