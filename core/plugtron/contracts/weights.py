"""The declarative map from a checkpoint's tensors to a decoder's parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Weight", "WeightMap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """Where one parameter comes from: as many tensors as the layer has parts (query, key, value: three).

    `transform` is applied to what this rank reads of each, with its name; it may reorder within heads, not across them.
    """

    parameter: str
    tensors: tuple[str, ...]
    transform: Callable[[torch.Tensor, str], torch.Tensor] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightMap:
    """All weights of a model. `{layer}` in a name stands for each layer's number.

    `ignored` are patterns (as of fnmatch) of tensors that a checkpoint may hold and that are of no use here.
    """

    weights: tuple[Weight, ...]
    ignored: tuple[str, ...] = ()
