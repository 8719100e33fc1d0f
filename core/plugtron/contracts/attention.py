"""Attention over KV memory, as a component: what a torch step calls in every attention layer."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor

from plugtron.contracts.memory import AttentionMetadata, LayerState

__all__ = ["AttentionBackend"]


class AttentionBackend(ABC):
    """Writes keys and values to memory, and lets queries look at what is there.

    Shapes: T tokens, H query heads and K key-value heads of this rank, D the width of a head. H / K queries share each
    key-value head.
    """

    @abstractmethod
    def write(self, key: Tensor, value: Tensor, state: LayerState, memory: AttentionMetadata) -> None:
        """Put keys and values [T, K, D] in their places, `memory.write_blocks` and `memory.write_offsets`."""

    @abstractmethod
    def attend(self, query: Tensor, state: LayerState, memory: AttentionMetadata, scale: float) -> Tensor:
        """Let each token's queries [T, H, D] look at its row's history, causally and within `state.window`.

        Returns:
            [T, H, D]. A row's values may depend on that row alone.
        """
