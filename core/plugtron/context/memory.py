"""What attention is told of a step: where keys and values lie, for whom, and how far.

Memory has one layout everywhere: per layer [blocks, kv_heads, block, head_dim] for keys and for values, and a table
of block numbers per row. R rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from plugtron.contracts.step import StepPlan

__all__ = ["LayerState", "MemoryView", "Span"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerState:
    """Keys and values of one layer, [blocks, kv_heads, block, head_dim], and how far back its queries look."""

    keys: Tensor
    values: Tensor
    window: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One row as the host knows it: its tokens are [first, first + count) of the step, from position `start` on."""

    first: int
    start: int
    count: int
    blocks: tuple[int, ...]

    @property
    def end(self) -> int:
        """How many of the row's tokens are in memory after the step."""
        return self.start + self.count


@dataclass(kw_only=True)
class MemoryView:
    """The memory of one step.

    Shapes: tables [R, max_blocks] int64, lengths [R] int64 (after the step), write_blocks and write_offsets [T]
    int64: where each token's key and value go. `spans` is the same for the host, so that no kernel has to ask the
    device for it.
    """

    layers: tuple[LayerState, ...]
    tables: Tensor
    lengths: Tensor
    write_blocks: Tensor
    write_offsets: Tensor
    spans: tuple[Span, ...]
    _masks: dict[tuple[object, ...], Tensor] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        plan: StepPlan,
        *,
        layers: tuple[LayerState, ...],
        blocks: Sequence[tuple[int, ...]],
        block_size: int,
        device: torch.device,
    ) -> MemoryView:
        """Lay out a plan whose rows hold these blocks."""
        spans, first = [], 0
        for row, held in zip(plan.rows, blocks, strict=True):
            spans.append(Span(first=first, start=row.start, count=row.count, blocks=held))
            first += row.count
        places = [(span, position) for span in spans for position in range(span.start, span.end)]
        widest = max(len(span.blocks) for span in spans)
        # One transfer for all that the device has to know.
        writes = torch.tensor(
            [[span.blocks[at // block_size] for span, at in places], [at % block_size for _, at in places]]
        ).to(device, non_blocking=True)
        rows = torch.tensor([[span.end, *span.blocks, *([0] * (widest - len(span.blocks)))] for span in spans])
        rows = rows.to(device, non_blocking=True)
        return cls(
            layers=layers,
            tables=rows[:, 1:],
            lengths=rows[:, 0],
            write_blocks=writes[0],
            write_offsets=writes[1],
            spans=tuple(spans),
        )

    @cached_property
    def decodes(self) -> tuple[Span, ...]:
        """The rows that compute one token; they go through attention together."""
        return tuple(span for span in self.spans if span.count == 1)

    @cached_property
    def chunks(self) -> tuple[Span, ...]:
        """The rows that compute several tokens; they go through attention one by one."""
        return tuple(span for span in self.spans if span.count > 1)

    @cached_property
    def decode_tokens(self) -> Tensor | None:
        """Which tokens of the step belong to `decodes` [D]; None when all do."""
        if not self.chunks:
            return None
        return torch.tensor([span.first for span in self.decodes], device=self.tables.device)

    @cached_property
    def decode_length(self) -> int:
        """The longest history among `decodes`."""
        return max(span.end for span in self.decodes)

    @cached_property
    def decode_blocks(self) -> Tensor | slice:
        """The blocks of `decodes`: a slice where they are neighbours, as in a full static batch, else [D, blocks]."""
        held = [span.blocks for span in self.decodes]
        first = held[0][0]
        if all(len(blocks) == 1 and blocks[0] == first + row for row, blocks in enumerate(held)):
            return slice(first, first + len(held))
        widest = max(map(len, held))
        return torch.tensor([[*row, *([0] * (widest - len(row)))] for row in held], device=self.tables.device)

    def decode_mask(self, window: int | None, dtype: torch.dtype) -> Tensor | None:
        """What is added to the scores of `decodes`, [D, 1, 1, length]; None when every row sees all there is."""
        lengths = [span.end for span in self.decodes]
        longest = self.decode_length
        window = window if window is not None and longest > window else None
        if min(lengths) == longest and window is None:
            return None
        key = ("decode", window, dtype)
        if key not in self._masks:
            ends = torch.tensor(lengths, device=self.tables.device).view(-1, 1, 1, 1)
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
