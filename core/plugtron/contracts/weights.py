"""The declarative map from a checkpoint's tensors to a decoder's parameters."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["Section", "Weight", "WeightMap"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """Rows of a stored tensor that are one tensor by themselves, such as the keys within a fused query-key-value.

    They come in runs of `run` rows: the first begins at row `first`, each following one `stride` rows later. `total`
    counts the stored tensor's rows. `transposed`: it is stored the other way round, so that its rows are columns.
    `stack`: as many tensors of that shape are stored in one, and the section is of the one with the number `member`.
    """

    tensor: str
    total: int
    first: int = 0
    run: int
    stride: int = 0
    transposed: bool = False
    stack: int = 0
    member: int = 0

    def stored_rows(self, start: int, stop: int) -> list[slice]:
        """Where the section's own rows `start` to `stop` are stored: as few slices as possible, in order."""
        found: list[slice] = []
        while start < stop:
            number, within = divmod(start, self.run)
            count = min(self.run - within, stop - start)
            at = self.first + number * self.stride + within
            if found and found[-1].stop == at:
                found[-1] = slice(found[-1].start, at + count)
            else:
                found.append(slice(at, at + count))
            start += count
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """Where one parameter comes from: as many tensors as the layer has parts (query, key, value: three).

    A name means the whole tensor, a `Section` some of its rows. `transform` is applied to what this rank reads of
    each, with its number among `tensors`; it may reorder within heads, not across them, and only moves the rows of
    a matrix, because quantized blocks and their scales move with them. `{layer}` in a name stands for each layer's
    number; `layers` says which layers have it (None: all).
    """

    parameter: str
    tensors: tuple[str | Section, ...]
    transform: Callable[[torch.Tensor, int], torch.Tensor] | None = None
    layers: frozenset[int] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightMap:
    """All weights of a model. `ignored` are patterns (as of fnmatch) of tensors that a checkpoint may hold and that
    are of no use here.
    """

    weights: tuple[Weight, ...]
    ignored: tuple[str, ...] = ()
