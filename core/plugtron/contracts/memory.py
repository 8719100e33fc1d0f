"""What attention is told of a step: where keys and values lie, for whom, and how far.

Memory has one layout everywhere: per layer [blocks, kv_heads, block, head_dim] for keys and for values, and a table
of block numbers per row. R rows, T tokens; D rows that compute one token, the decodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plugtron.utils.transfers import transfer

__all__ = ["AttentionMetadata", "KVOrigin", "LayerState", "Span", "as_bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerState:
    """Keys and values of one layer, [blocks, kv_heads, block, head_dim], and how far back its queries look.

    `window`: a query sees as many positions, its own included (None: all before it). `chunk`: of those, the ones that
    lie in the same stretch of so many positions as its own (None: all). `key_scales` and `value_scales`, [blocks,
    kv_heads, block] float32, are what int8 keys and values are to be multiplied with (None: they are of another dtype).
    """

    keys: Tensor
    values: Tensor
    window: int | None
    chunk: int | None = None
    key_scales: Tensor | None = None
    value_scales: Tensor | None = None

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """All that is kept, each [blocks, kv_heads, block, ...]: what moves, copies or clears a block takes all."""
        scales = (self.key_scales, self.value_scales)
        return self.keys, self.values, *(part for part in scales if part is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class KVOrigin:
    """What keys and values depend on besides tokens. Equal digests mean equal ones, in other processes too.

    Args:
        model: the checkpoint that they are of, for people.
        digest: differs where anything does: weights, precision, how steps are run, what this rank has of the model.
    """

    model: Path
    digest: str


def as_bytes(cache: Tensor) -> Tensor:
    """A cache to move or fill: as bytes where it is of eight bits, for which not every device has operations."""
    return cache.view(torch.uint8) if cache.itemsize == 1 else cache


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A chunk as the host knows it: tokens [first, first + count) of the step are row `row`'s, from `start` on."""

    row: int
    first: int
    start: int
    count: int

    @property
    def end(self) -> int:
        """How many of the row's tokens are in memory after the step."""
        return self.start + self.count


@dataclass(kw_only=True)
class AttentionMetadata:
    """The memory of one step.

    Shapes, int64 on the device: slots and seq_lens (after the step) [R], query_start_loc [R + 1], block_tables
    [R, max_blocks], positions, write_blocks and write_offsets [T]: where each token stands, and where its key and value
    go. `starts` and `counts` [R], and the first block of each row, `first_blocks` [R], are host copies, to avoid a
    device sync.
    `derived` is what attention computes for a step once, for all layers: masks and the like.
    """

    layers: tuple[LayerState, ...]
    block_size: int
    starts: np.ndarray
    counts: np.ndarray
    slots: Tensor
    seq_lens: Tensor
    query_start_loc: Tensor
    block_tables: Tensor
    positions: Tensor
    write_blocks: Tensor
    write_offsets: Tensor
    first_blocks: np.ndarray
    derived: dict[tuple[object, ...], Any] = field(default_factory=dict)

    @cached_property
    def spans(self) -> tuple[Span, ...]:
        """All rows."""
        firsts = self.counts.cumsum() - self.counts
        columns = zip(firsts.tolist(), self.starts.tolist(), self.counts.tolist(), strict=True)
        return tuple(
            Span(row=row, first=first, start=start, count=count) for row, (first, start, count) in enumerate(columns)
        )

    @cached_property
    def chunks(self) -> tuple[Span, ...]:
        """The rows that compute several tokens."""
        return tuple(span for span in self.spans if span.count > 1)

    @cached_property
    def decodes(self) -> np.ndarray:
        """The rows [D] that compute one token; they go through attention together."""
        return (self.counts == 1).nonzero()[0]

    @cached_property
    def decode_tokens(self) -> Tensor | None:
        """Which tokens of the step belong to `decodes` [D]; None when all do."""
        return None if len(self.decodes) == len(self.counts) else self.query_start_loc[self.decode_rows]

    @cached_property
    def decode_length(self) -> int:
        """The longest history among `decodes`."""
        return int(self.starts[self.decodes].max()) + 1

    @cached_property
    def decode_rows(self) -> Tensor | slice:
        """`decodes` for the device."""
        if len(self.decodes) == len(self.counts):
            return slice(0, len(self.counts))
        return transfer(self.block_tables.device, self.decodes)[0]
