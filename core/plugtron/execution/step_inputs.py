"""What a step over Triton kernels reads, and how its queries attend."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from plugtron.contracts.attention import Scores
from plugtron.contracts.memory import AttentionMetadata, LayerState
from plugtron.contracts.step import StepBatch
from plugtron.kernels.triton.chunk_attention import chunk_attention, tiles_of
from plugtron.kernels.triton.decode_attention import decode_attention
from plugtron.utils.transfers import transfer

__all__ = ["ChunkInputs", "DecodeInputs", "StepInputs", "TileInputs"]


class StepInputs(Protocol):
    """T tokens, and where their keys and values go: [T] int64 each; see plugtron.contracts.memory for the meaning."""

    @property
    def tokens(self) -> Tensor:
        """Their ids."""
        ...

    @property
    def positions(self) -> Tensor:
        """Where they stand in their sequences."""
        ...

    @property
    def write_blocks(self) -> Tensor:
        """The block that each writes to."""
        ...

    @property
    def write_offsets(self) -> Tensor:
        """And where in it."""
        ...

    def attend(self, queries: Tensor, state: LayerState, scores: Scores) -> Tensor:
        """Let queries [T, h, D] look at what their rows have in memory."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeInputs:
    """A step of R rows of one token, at fixed addresses, so that it can be captured.

    Shapes: lengths [R], tables [R, blocks]. A row of zeros computes nothing that is of use, and writes to block 0,
    which is scratch.
    """

    tokens: Tensor
    positions: Tensor
    lengths: Tensor
    write_blocks: Tensor
    write_offsets: Tensor
    tables: Tensor
    longest: int

    @classmethod
    def zeros(cls, rows: int, *, longest: int, block_size: int, device: torch.device) -> DecodeInputs:
        """Inputs of rows that are yet to come, of at most `longest` tokens."""
        columns = torch.zeros(5, rows, dtype=torch.int64, device=device).unbind()
        return cls(
            tokens=columns[0],
            positions=columns[1],
            lengths=columns[2],
            write_blocks=columns[3],
            write_offsets=columns[4],
            tables=torch.zeros(rows, -(-longest // block_size), dtype=torch.int64, device=device),
            longest=longest,
        )

    def attend(self, queries: Tensor, state: LayerState, scores: Scores) -> Tensor:
        """Let queries [R, h, D] look at what their rows have in memory."""
        return decode_attention(
            queries, state.keys, state.values, self.tables, self.lengths,
            longest=self.longest, window=state.window, chunk=state.chunk, scores=scores,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class TileInputs:
    """A step whose T tokens attend in tiles, rows of one token too, whose histories then are not split.

    Shapes: tables [R, blocks]; tiles [N, 3], see `tiles_of`, those of zeros compute nothing. A token of zeros writes to
    block 0, which is scratch.
    """

    tokens: Tensor
    positions: Tensor
    write_blocks: Tensor
    write_offsets: Tensor
    tables: Tensor
    tiles: Tensor
    # Where all layers put what they attend to, in turn. To tokens that are not there nobody writes, so it begins as
    # zeros: uninitialized memory may contain NaN.
    _results: dict[torch.Size, Tensor] = field(default_factory=dict)

    @classmethod
    def zeros(
        cls, tokens: int, *, rows: int, tiles: int, longest: int, block_size: int, device: torch.device
    ) -> TileInputs:
        """Inputs at fixed addresses, of tokens that are yet to come."""
        columns = torch.zeros(4, tokens, dtype=torch.int64, device=device).unbind()
        return cls(
            tokens=columns[0],
            positions=columns[1],
            write_blocks=columns[2],
            write_offsets=columns[3],
            tables=torch.zeros(rows, -(-longest // block_size), dtype=torch.int64, device=device),
            tiles=torch.zeros(tiles, 3, dtype=torch.int64, device=device),
        )

    @classmethod
    def of(cls, batch: StepBatch, size: int) -> TileInputs:
        """Those of a batch, in tiles of `size` tokens."""
        memory = batch.memory
        return cls(
            tokens=batch.tokens,
            positions=batch.positions,
            write_blocks=memory.write_blocks,
            write_offsets=memory.write_offsets,
            tables=memory.block_tables,
            tiles=transfer(batch.tokens.device, tiles_of(memory.spans, size))[0],
        )

    def attend(self, queries: Tensor, state: LayerState, scores: Scores) -> Tensor:
        """Let queries [T, h, D] look at what their rows have in memory."""
        if queries.shape not in self._results:
            self._results[queries.shape] = torch.zeros_like(queries)
        result = self._results[queries.shape]
        chunk_attention(
            queries, state.keys, state.values, self.tables, self.positions, self.tiles, result,
            window=state.window, chunk=state.chunk, scores=scores,
        )  # fmt: skip
        return result


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkInputs:
    """A step of chunks of prompts, which attend in tiles, and perhaps rows of one token, whose histories are split."""

    tokens: Tensor
    positions: Tensor
    write_blocks: Tensor
    write_offsets: Tensor
    tiles: Tensor
    memory: AttentionMetadata
    longest: int

    @classmethod
    def of(cls, batch: StepBatch, size: int, longest: int) -> ChunkInputs:
        """Those of a batch, in tiles of `size` tokens, over sequences of at most `longest`."""
        memory = batch.memory
        return cls(
            tokens=batch.tokens,
            positions=batch.positions,
            write_blocks=memory.write_blocks,
            write_offsets=memory.write_offsets,
            tiles=transfer(batch.tokens.device, tiles_of(memory.chunks, size))[0],
            memory=memory,
            longest=longest,
        )

    def attend(self, queries: Tensor, state: LayerState, scores: Scores) -> Tensor:
        """Let queries [T, h, D] look at what their rows have in memory."""
        memory, keys, values = self.memory, state.keys, state.values
        result = torch.empty_like(queries)
        if len(memory.decodes):
            tokens = slice(None) if memory.decode_tokens is None else memory.decode_tokens
            rows = memory.decode_rows
            result[tokens] = decode_attention(
                queries[tokens], keys, values, memory.block_tables[rows], memory.seq_lens[rows],
                longest=self.longest, window=state.window, chunk=state.chunk, scores=scores,
            )  # fmt: skip
        if memory.chunks:
            chunk_attention(
                queries, keys, values, memory.block_tables, self.positions, self.tiles, result,
                window=state.window, chunk=state.chunk, scores=scores,
            )  # fmt: skip
        return result
