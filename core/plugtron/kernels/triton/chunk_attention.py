"""Attention of rows that compute several tokens each, over paged memory: chunks of prompts.

A program goes through the history of one tile of neighboring tokens (FlashAttention, arXiv:2205.14135), whose queries
of a group read a key-value head once. Positions are taken in the same steps wherever a chunk begins, so a token's bits
depend neither on where its chunk begins nor on the other rows.
"""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import triton
import triton.language as tl
from torch import Tensor

from plugtron.contracts.attention import Scores
from plugtron.contracts.memory import Span
from plugtron.kernels.triton.decode_attention import at_once, first_seen
from plugtron.kernels.triton.launch import FUSED, power_of_two
from plugtron.kernels.triton.online_softmax import absorb, shaped

__all__ = ["chunk_attention", "tile_tokens", "tiles_of"]

#: The queries of a tile, those of a group counted up to a power of two.
_QUERIES = 64


def tile_tokens(group: int, query_bytes: int) -> int:
    """How many tokens are a tile: their queries have to fit shared memory beside the keys."""
    queries = _QUERIES if query_bytes <= 512 else _QUERIES // 4
    return max(queries // power_of_two(group), 1)


def tiles_of(spans: Iterable[Span], size: int) -> np.ndarray:
    """Divide chunks into tiles of `size` tokens: of each its row, its first token, how many it has. [N, 3] int64."""
    tiles = [
        (span.row, span.first + at, min(size, span.count - at)) for span in spans for at in range(0, span.count, size)
    ]
    return np.array(tiles, dtype=np.int64).reshape(-1, 3)


def chunk_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: Tensor,
    positions: Tensor,
    tiles: Tensor,
    result: Tensor,
    *,
    window: int | None,
    chunk: int | None = None,
    scores: Scores,
) -> None:
    """Let the queries of the tiles' tokens look at what stands before them; the other tokens' results stay as they are.

    Args:
        queries, result: [T, h, D].
        keys, values: a layer's memory, [blocks, k, block, D], the tokens' own keys and values included.
        tables: [R, blocks of the longest] int64.
        positions: [T] int64.
        tiles: [N, 3] int64, as `tiles_of` gives them, of `tile_tokens` tokens at the most.
    """
    heads, head_dim = queries.shape[1:]
    kv_heads, block_size = keys.shape[1], keys.shape[2]
    group = heads // kv_heads
    _tiles[(len(tiles), kv_heads)](
        queries,
        keys,
        values,
        tables,
        positions,
        tiles,
        result,
        queries if scores.slopes is None else scores.slopes,
        queries if scores.sinks is None else scores.sinks,
        scores.scale,
        scores.soft_cap or 1.0,
        tables.shape[1],
        block_size,
        WINDOW=window or 0,
        CHUNK=chunk or 0,
        CAPPED=scores.soft_cap is not None,
        SLOPED=scores.slopes is not None,
        SINKS=scores.sinks is not None,
        KV_HEADS=kv_heads,
        GROUP=group,
        TOGETHER=power_of_two(group),
        DIM=head_dim,
        QUERIES=max(tile_tokens(group, head_dim * queries.itemsize) * power_of_two(group), 16),
        CHANNELS=max(power_of_two(head_dim), 16),
        AT_ONCE=at_once(head_dim * queries.itemsize),
        num_warps=4,
        num_stages=2,
        **FUSED,
    )


@triton.jit(
    do_not_specialize=["table_width"],  # which changes from step to step
    do_not_specialize_on_alignment=["tables", "positions", "tiles"],  # parts of larger tensors
)
def _tiles(
    queries, keys, values, tables, positions, tiles, result, slopes, sinks, scale, cap, table_width, block_size,
    WINDOW: tl.constexpr, CHUNK: tl.constexpr, CAPPED: tl.constexpr, SLOPED: tl.constexpr, SINKS: tl.constexpr,
    KV_HEADS: tl.constexpr, GROUP: tl.constexpr, TOGETHER: tl.constexpr, DIM: tl.constexpr,
    QUERIES: tl.constexpr, CHANNELS: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    tile = tl.program_id(0).to(tl.int64)
    kv_head = tl.program_id(1)
    row = tl.load(tiles + tile * 3)
    token = tl.load(tiles + tile * 3 + 1)
    count = tl.load(tiles + tile * 3 + 2).to(tl.int32)
    if count == 0:
        return  # there are as many tiles as there may be
    own = tl.load(positions + token).to(tl.int32)  # where the first of them stands
    query_at = tl.arange(0, QUERIES)
    place_in_tile = query_at // TOGETHER
    channel = tl.arange(0, CHANNELS)
    asks = (place_in_tile < count) & (query_at % TOGETHER < GROUP)
    there = asks[:, None] & (channel < DIM)[None, :]
    head = kv_head * GROUP + query_at % TOGETHER
    line = ((token + place_in_tile) * KV_HEADS * GROUP + head) * DIM
    query = tl.load(queries + line[:, None] + channel[None, :], mask=there, other=0.0)
    stands = own + place_in_tile
    sees = first_seen(stands, WINDOW, CHUNK)
    first = first_seen(own, WINDOW, CHUNK) // AT_ONCE * AT_ONCE
    end = own + count
    slope = tl.zeros([QUERIES], tl.float32)
    if SLOPED:
        slope = tl.load(slopes + head, mask=asks, other=0.0).to(tl.float32)
    peak = tl.full([QUERIES], float("-inf"), tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    if SINKS:
        peak = tl.load(sinks + head, mask=asks, other=0.0).to(tl.float32)
        total = total + 1.0
    summed = tl.zeros([QUERIES, CHANNELS], tl.float32)
    for start in range(first, end, AT_ONCE):
        position = start + tl.arange(0, AT_ONCE)
        block = tl.load(tables + row * table_width + position // block_size, mask=position < end, other=0)
        place = ((block * KV_HEADS + kv_head) * block_size + position % block_size) * DIM
        inside = (position < end)[:, None] & (channel < DIM)[None, :]
        seen = position[None, :] <= stands[:, None]
        if WINDOW > 0 or CHUNK > 0:
            seen = seen & (position[None, :] >= sees[:, None])
        key = tl.load(keys + place[:, None] + channel[None, :], mask=inside, other=0.0)
        score = tl.dot(query, tl.trans(key).to(query.dtype), input_precision="ieee") * scale
        score = shaped(score, stands[:, None] - position[None, :], cap, slope, CAPPED, SLOPED)
        score = tl.where(seen, score, float("-inf"))
        value = tl.load(values + place[:, None] + channel[None, :], mask=inside, other=0.0)
        peak, total, summed = absorb(score, value.to(query.dtype), peak, total, summed)
    total = tl.where(asks, total, 1.0)
    tl.store(
        result + line[:, None] + channel[None, :], (summed / total[:, None]).to(result.dtype.element_ty), mask=there
    )
