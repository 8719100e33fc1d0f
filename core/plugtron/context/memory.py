"""What attention is told of a step: where keys and values lie, for whom, and how far.

Memory has one layout everywhere: per layer [blocks, kv_heads, block, head_dim] for keys and for values, and a table
of block numbers per row. R rows, T tokens; D rows that compute one token, the decodes.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from plugtron.context.transfer import transfer
from plugtron.contracts.step import StepPlan

__all__ = ["LayerState", "MemoryView", "Span", "as_bytes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerState:
    """Keys and values of one layer, [blocks, kv_heads, block, head_dim], and how far back its queries look."""

    keys: Tensor
    values: Tensor
    window: int | None


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
class MemoryView:
    """The memory of one step.

    Shapes, int64 on the device: slots and lengths (after the step) [R], row_starts [R + 1], tables [R, max_blocks],
    positions, write_blocks and write_offsets [T]: where each token stands, and where its key and value go. `starts`
    and `counts` [R] are the host's, so that no kernel has to ask the device.
    """

    layers: tuple[LayerState, ...]
    block_size: int
    starts: np.ndarray
    counts: np.ndarray
    slots: Tensor
    lengths: Tensor
    row_starts: Tensor
    tables: Tensor
    positions: Tensor
    write_blocks: Tensor
    write_offsets: Tensor
    # The first block of each row, [R], where all the decodes have but one.
    _only_blocks: np.ndarray
    _masks: dict[tuple[object, ...], Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        plan: StepPlan,
        *,
        layers: tuple[LayerState, ...],
        tables: np.ndarray,
        block_size: int,
        device: torch.device,
    ) -> MemoryView:
        """Lay out a plan over the block tables [slots, blocks] int64 of its context."""
        slots = np.array(plan.columns.slots)
        starts = np.array(plan.columns.starts)
        counts = np.array(plan.columns.sizes)
        ends = starts + counts
        row_starts = np.concatenate(([0], counts.cumsum()))
        if len(plan.rows) == row_starts[-1]:
            positions, owners = starts, slots
        else:
            positions = np.arange(row_starts[-1]) + np.repeat(starts - row_starts[:-1], counts)
            owners = np.repeat(slots, counts)
        held = tables[slots, : -(-int(ends.max()) // block_size)]
        # One transfer for all that the device has to know.
        sent = transfer(
            device,
            slots,
            ends,
            row_starts,
            held,
            positions,
            tables[owners, positions // block_size],
            positions % block_size,
        )
        return cls(
            layers=layers,
            block_size=block_size,
            starts=starts,
            counts=counts,
            slots=sent[0],
            lengths=sent[1],
            row_starts=sent[2],
            tables=sent[3],
            positions=sent[4],
            write_blocks=sent[5],
            write_offsets=sent[6],
            _only_blocks=held[:, 0],
        )

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
        return None if len(self.decodes) == len(self.counts) else self.row_starts[self.decode_rows]

    @cached_property
    def decode_length(self) -> int:
        """The longest history among `decodes`."""
        return int(self.starts[self.decodes].max()) + 1

    @cached_property
    def decode_blocks(self) -> Tensor | slice:
        """The blocks of `decodes`: a slice where they are neighbours, as in a full static batch, else [D, blocks]."""
        if self.decode_length <= self.block_size:
            held = self._only_blocks[self.decodes]
            first = int(held[0])
            if (held == np.arange(first, first + len(held))).all():
                return slice(first, first + len(held))
        blocks = -(-self.decode_length // self.block_size)
        return self.tables[self.decode_rows, :blocks]

    def chunk_blocks(self, span: Span) -> Tensor | slice:
        """The blocks of a chunk: a slice where it is but one, else [1, blocks]."""
        blocks = -(-span.end // self.block_size)
        if blocks == 1:
            only = int(self._only_blocks[span.row])
            return slice(only, only + 1)
        return self.tables[span.row : span.row + 1, :blocks]

    def decode_mask(self, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores of `decodes`, [D, 1, 1, length]; None when every row sees all there is."""
        longest = self.decode_length
        window = window if window is not None and longest > window else None
        if window is None and int(self.starts[self.decodes].min()) + 1 == longest:
            return None
        key = ("decode", window, dtype)
        if key not in self._masks:
            ends = self.lengths[self.decode_rows].view(-1, 1, 1, 1)
            at = torch.arange(longest, device=self.tables.device)
            seen = at < ends
            if window is not None:
                seen &= at >= ends - window
            mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
            self._masks[key] = mask.masked_fill_(~seen, float("-inf"))
        return self._masks[key]

    def chunk_mask(self, span: Span, window: int | None) -> Tensor | None:
        """Which keys each query of a chunk sees, [count, end] bool; None where plain causal order says it all."""
        window = window if window is not None and span.end > window else None
        if span.start == 0 and window is None:
            return None
        key = ("chunk", span, window)
        if key not in self._masks:
            query = torch.arange(span.start, span.end, device=self.tables.device).unsqueeze(1)
            at = torch.arange(span.end, device=self.tables.device)
            seen = at <= query
            if window is not None:
                seen &= at > query - window
            self._masks[key] = seen
        return self._masks[key]

    @cached_property
    def decode_rows(self) -> Tensor | slice:
        """`decodes` for the device."""
        if len(self.decodes) == len(self.counts):
            return slice(0, len(self.counts))
        return transfer(self.tables.device, self.decodes)[0]
