"""Attention of rows that compute one token each, over paged memory.

A history is split into stretches of fixed length, which programs of their own go through (Flash-Decoding, Dao et al.,
2023), and whose results are put together in order: a row's bits do not depend on the other rows. The queries that share
a key-value head read it once.
"""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.contracts.attention import Scores
from plugtron.kernels.triton.launch import FUSED, power_of_two
from plugtron.kernels.triton.online_softmax import absorb, shaped

__all__ = ["at_once", "decode_attention", "first_seen"]

#: The fewest positions to a stretch, and the most stretches, which have programs whether a history reaches them or not.
_STRETCH, _MOST_STRETCHES = 256, 64
#: The fewest rows that a matrix product of Triton's has.
_LEAST_ROWS = 16


def decode_attention(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    tables: Tensor,
    lengths: Tensor,
    *,
    longest: int,
    window: int | None,
    chunk: int | None = None,
    scores: Scores,
) -> Tensor:
    """Let each row's queries look at what its history holds; what has no history gets zeros. [R, h, D].

    Shapes are all that the host has to know, so that a captured graph serves any lengths.

    Args:
        queries: [R, h, D].
        keys, values: a layer's memory, [blocks, k, block, D].
        tables: [R, most blocks] int64.
        lengths: [R] int64, this step's token included.
        longest: what a history may come to, here or in another step.
    """
    rows, heads, head_dim = queries.shape
    kv_heads, block_size = keys.shape[1], keys.shape[2]
    group = heads // kv_heads
    capacity = tables.shape[1] * block_size
    # Of the longest there may be, not of who is in it: a row's bits would change with its company.
    stretch = max(_STRETCH, power_of_two(triton.cdiv(longest, _MOST_STRETCHES)))
    stretches = triton.cdiv(capacity, stretch)
    parts = torch.empty(rows, heads, stretches, head_dim, dtype=torch.float32, device=queries.device)
    slopes, sinks = (queries if each is None else each for each in (scores.slopes, scores.sinks))
    peaks, sums = torch.empty(2, rows, heads, stretches, dtype=torch.float32, device=queries.device)
    result = torch.empty_like(queries)
    _stretches[(rows, kv_heads, stretches)](
        queries,
        keys,
        values,
        tables,
        lengths,
        parts,
        peaks,
        sums,
        slopes,
        scores.scale,
        scores.soft_cap or 1.0,
        tables.shape[1],
        block_size,
        stretches,
        WINDOW=window or 0,
        CHUNK=chunk or 0,
        CAPPED=scores.soft_cap is not None,
        SLOPED=scores.slopes is not None,
        KV_HEADS=kv_heads,
        GROUP=group,
        DIM=head_dim,
        QUERIES=max(power_of_two(group), _LEAST_ROWS),
        CHANNELS=max(power_of_two(head_dim), _LEAST_ROWS),
        STRETCH=stretch,
        AT_ONCE=at_once(head_dim * queries.itemsize),
        num_warps=4,
        num_stages=2,
        **FUSED,
    )
    _together[(rows, heads)](
        parts,
        peaks,
        sums,
        lengths,
        sinks,
        result,
        stretches,
        WINDOW=window or 0,
        CHUNK=chunk or 0,
        SINKS=scores.sinks is not None,
        DIM=head_dim,
        CHANNELS=power_of_two(head_dim),
        STRETCH=stretch,
        num_warps=1,
        **FUSED,
    )
    return result


def at_once(query_bytes: int) -> int:
    """How many positions are scored at once: their keys and values have to fit shared memory, twice over."""
    return 64 if query_bytes <= 256 else 32


@triton.jit
def first_seen(position, WINDOW: tl.constexpr, CHUNK: tl.constexpr):
    """The first position that a query at `position` sees."""
    first = position * 0
    if WINDOW > 0:
        first = tl.maximum(position - WINDOW + 1, 0)
    if CHUNK > 0:
        first = tl.maximum(first, position // CHUNK * CHUNK)
    return first


@triton.jit(
    do_not_specialize=["table_width", "stretches"],  # which change from step to step
    do_not_specialize_on_alignment=["tables", "lengths"],  # parts of larger tensors
)
def _stretches(
    queries, keys, values, tables, lengths, parts, peaks, sums, slopes, scale, cap, table_width, block_size, stretches,
    WINDOW: tl.constexpr, CHUNK: tl.constexpr, CAPPED: tl.constexpr, SLOPED: tl.constexpr, KV_HEADS: tl.constexpr,
    GROUP: tl.constexpr, DIM: tl.constexpr, QUERIES: tl.constexpr,
    CHANNELS: tl.constexpr, STRETCH: tl.constexpr, AT_ONCE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    kv_head = tl.program_id(1)
    stretch = tl.program_id(2)
    length = tl.load(lengths + row).to(tl.int32)
    first = first_seen(tl.maximum(length - 1, 0), WINDOW, CHUNK)
    begin = stretch * STRETCH
    end = tl.minimum(length, begin + STRETCH)
    if end <= tl.maximum(first, begin):
        return  # nothing of it is seen, and nobody will read what it came to
    query_at = tl.arange(0, QUERIES)
    channel = tl.arange(0, CHANNELS)
    there = (query_at < GROUP)[:, None] & (channel < DIM)[None, :]
    head = kv_head * GROUP + query_at
    query = tl.load(
        queries + ((row * KV_HEADS * GROUP + head)[:, None]) * DIM + channel[None, :], mask=there, other=0.0
    )
    slope = tl.zeros([QUERIES], tl.float32)
    if SLOPED:
        slope = tl.load(slopes + head, mask=query_at < GROUP, other=0.0).to(tl.float32)
    peak = tl.full([QUERIES], float("-inf"), tl.float32)
    total = tl.zeros([QUERIES], tl.float32)
    result = tl.zeros([QUERIES, CHANNELS], tl.float32)
    for start in range(begin, end, AT_ONCE):
        position = start + tl.arange(0, AT_ONCE)
        seen = (position < end) & (position >= first)
        block = tl.load(tables + row * table_width + position // block_size, mask=seen, other=0)
        place = ((block * KV_HEADS + kv_head) * block_size + position % block_size) * DIM
        inside = seen[:, None] & (channel < DIM)[None, :]
        key = tl.load(keys + place[:, None] + channel[None, :], mask=inside, other=0.0)
        score = tl.dot(query, tl.trans(key).to(query.dtype), input_precision="ieee") * scale
        score = shaped(score, (length - 1 - position)[None, :], cap, slope, CAPPED, SLOPED)
        score = tl.where(seen[None, :], score, float("-inf"))
        value = tl.load(values + place[:, None] + channel[None, :], mask=inside, other=0.0)
        peak, total, result = absorb(score, value.to(query.dtype), peak, total, result)
    at = (row * KV_HEADS * GROUP + head) * stretches + stretch
    tl.store(peaks + at, peak, mask=query_at < GROUP)
    tl.store(sums + at, total, mask=query_at < GROUP)
    tl.store(parts + at[:, None] * DIM + channel[None, :], result, mask=there)


@triton.jit(do_not_specialize=["stretches"], do_not_specialize_on_alignment=["lengths"])
def _together(
    parts, peaks, sums, lengths, sinks, result, stretches,
    WINDOW: tl.constexpr, CHUNK: tl.constexpr, SINKS: tl.constexpr, DIM: tl.constexpr, CHANNELS: tl.constexpr,
    STRETCH: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    line = row * tl.num_programs(1) + tl.program_id(1)
    channel = tl.arange(0, CHANNELS)
    inside = channel < DIM
    length = tl.load(lengths + row).to(tl.int32)
    first = first_seen(tl.maximum(length - 1, 0), WINDOW, CHUNK)
    peak = tl.full([], float("-inf"), tl.float32)
    total = tl.full([], 0.0, tl.float32)
    if SINKS:
        peak = tl.load(sinks + tl.program_id(1)).to(tl.float32)
        total = total + 1.0
    summed = tl.zeros([CHANNELS], tl.float32)
    for stretch in range(first // STRETCH, tl.cdiv(length, STRETCH)):
        own = tl.load(peaks + line * stretches + stretch)
        new_peak = tl.maximum(peak, own)
        fade, weight = tl.exp(peak - new_peak), tl.exp(own - new_peak)
        part = tl.load(parts + (line * stretches + stretch) * DIM + channel, mask=inside, other=0.0)
        summed = summed * fade + part * weight
        total = total * fade + tl.load(sums + line * stretches + stretch) * weight
        peak = new_peak
    total = tl.where(total == 0.0, 1.0, total)
    tl.store(result + line * DIM + channel, (summed / total).to(result.dtype.element_ty), mask=inside)
