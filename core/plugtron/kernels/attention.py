"""Attention over KV memory, and writing to it: the torch reference.

Shapes: T tokens, H query heads and K key-value heads of this rank, D the width of a head, L a history's length.
H / K queries share each key-value head (grouped queries, arXiv:2305.13245).
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from plugtron.contracts.attention import AttentionBackend, Scores
from plugtron.contracts.memory import AttentionMetadata, LayerState, Span
from plugtron.quantization.float8 import FLOAT8, to_float8
from plugtron.quantization.int8_rows import quantize_int8

__all__ = ["TorchAttention"]


class TorchAttention(AttentionBackend):
    """Gathers histories, and leaves the rest to torch's scaled_dot_product_attention, where that knows the scores."""

    takes_int8 = True

    def write(self, key: Tensor, value: Tensor, state: LayerState, memory: AttentionMetadata) -> None:
        """Put keys and values [T, K, D] in their places."""
        place = (memory.write_blocks, memory.write_offsets)
        keys, values = state.keys, state.values
        if state.key_scales is not None and state.value_scales is not None:
            (key, key_scales), (value, value_scales) = quantize_int8(key), quantize_int8(value)
            state.key_scales.transpose(1, 2).index_put_(place, key_scales)
            state.value_scales.transpose(1, 2).index_put_(place, value_scales)
        if keys.dtype == FLOAT8:  # which is moved as bytes: not every device has operations for it
            keys, values = keys.view(torch.uint8), values.view(torch.uint8)
            key, value = to_float8(key).view(torch.uint8), to_float8(value).view(torch.uint8)
        keys.transpose(1, 2).index_put_(place, key)
        values.transpose(1, 2).index_put_(place, value)

    def attend(self, query: Tensor, state: LayerState, memory: AttentionMetadata, scores: Scores) -> Tensor:
        """Let each token's queries [T, H, D] look at what its row has in memory; returns [T, H, D]."""
        tokens = memory.decode_tokens
        if tokens is None:
            return _decode(query, state, memory, scores)
        output = torch.empty_like(query)
        if len(memory.decodes):
            output[tokens] = _decode(query[tokens], state, memory, scores)
        for span in memory.chunks:
            inside = slice(span.first, span.first + span.count)
            output[inside] = _chunk(query[inside], span, state, memory, scores)
        return output


def _decode(query: Tensor, state: LayerState, memory: AttentionMetadata, scores: Scores) -> Tensor:
    """All rows with one token at once; the queries of a group take the place of query positions. [D, H, D]."""
    kv_heads, head_dim = state.keys.shape[1], state.keys.shape[3]
    length = memory.decode_length
    blocks = _decode_blocks(memory)
    keys = _numbers(state.keys, state.key_scales, blocks, length, query.dtype)
    values = _numbers(state.values, state.value_scales, blocks, length, query.dtype)
    grouped = query.view(len(query), kv_heads, -1, head_dim)
    mask = _decode_mask(memory, state, query.dtype)
    if not _is_plain(scores):
        positions = (memory.seq_lens[memory.decode_rows] - 1).view(-1, 1, 1, 1, 1)
        seen = None if mask is None else (mask == 0).unsqueeze(3)
        return attend_plainly(grouped.unsqueeze(3), keys, values, seen, positions, scores).reshape(query.shape)
    output = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scores.scale)
    return output.reshape(query.shape)  # some of torch's kernels return another layout


def _chunk(query: Tensor, span: Span, state: LayerState, memory: AttentionMetadata, scores: Scores) -> Tensor:
    """One row with several tokens. [count, H, D]."""
    blocks = _chunk_blocks(memory, span)
    keys = _numbers(state.keys, state.key_scales, blocks, span.end, query.dtype)
    values = _numbers(state.values, state.value_scales, blocks, span.end, query.dtype)
    mask = _chunk_mask(memory, span, state, explicit=not _is_plain(scores))
    if not _is_plain(scores):
        positions = torch.arange(span.start, span.end, device=query.device).view(-1, 1)
        grouped = query.transpose(0, 1).unflatten(0, (keys.shape[1], -1)).unsqueeze(0)
        attended = attend_plainly(grouped, keys, values, mask, positions, scores)  # [1, K, H / K, count, D]
        return attended[0].flatten(0, 1).transpose(0, 1)
    # [1, H, count, D]: heads before positions
    output = F.scaled_dot_product_attention(
        query.transpose(0, 1).unsqueeze(0), keys, values, attn_mask=mask, is_causal=mask is None,
        scale=scores.scale,
        enable_gqa=query.shape[1] != keys.shape[1],
    )  # fmt: skip
    return output[0].transpose(0, 1)


def _is_plain(scores: Scores) -> bool:
    """Whether torch's scaled_dot_product_attention has them."""
    return scores.soft_cap is None and scores.slopes is None and scores.sinks is None


def attend_plainly(
    query: Tensor, keys: Tensor, values: Tensor, seen: Tensor | None, positions: Tensor, scores: Scores
) -> Tensor:
    """Attention as its definition has it, whatever the scores. Shapes: R rows, K key-value heads, G queries to each.

    Args:
        query: [R, K, G, T, D].
        keys, values: [R, K, L, D], of positions from 0 on.
        seen: what broadcasts to [R, K, G, T, L]; None: everything is seen.
        positions: of the queries, what broadcasts to the same.

    Returns:
        [R, K, G, T, D].
    """
    score = (query @ keys.unsqueeze(2).transpose(-1, -2)).float() * scores.scale
    if scores.soft_cap is not None:
        score = scores.soft_cap * torch.tanh(score / scores.soft_cap)
    heads = keys.shape[1], -1, 1, 1
    if scores.slopes is not None:
        at = torch.arange(keys.shape[2], device=keys.device)
        score = score + scores.slopes.view(heads) * (at - positions)
    if seen is not None:
        score = score.masked_fill(~seen, float("-inf"))
    if scores.sinks is None:
        weights = score.softmax(-1)
    else:
        sinks = scores.sinks.float().view(heads).expand(*score.shape[:-1], 1)
        weights = torch.cat([score, sinks], dim=-1).softmax(-1)[..., :-1]
    return weights.to(values.dtype) @ values.unsqueeze(2)


def _numbers(cache: Tensor, scales: Tensor | None, blocks: Tensor | slice, length: int, dtype: torch.dtype) -> Tensor:
    """What the first `length` positions of each row stand for, [R, K, length, D]."""
    stored = _histories(cache, blocks, length)
    if scales is None:
        return stored.to(dtype)
    return (stored.float() * _histories(scales.unsqueeze(-1), blocks, length)).to(dtype)


def _histories(cache: Tensor, blocks: Tensor | slice, length: int) -> Tensor:
    """The first `length` positions of each row, [R, K, length, D]: a view where the blocks are neighbors."""
    if cache.dtype == FLOAT8:
        return _histories(cache.view(torch.uint8), blocks, length).view(FLOAT8)
    if isinstance(blocks, slice):
        return cache[blocks, :, :length]
    if blocks.shape[1] == 1:
        return cache[:, :, :length].index_select(0, blocks[:, 0])
    # Head by head, so that one copy brings each head's blocks into line.
    kv_heads, head_dim = cache.shape[1], cache.shape[3]
    places = blocks.unsqueeze(1) * kv_heads + torch.arange(kv_heads, device=blocks.device).unsqueeze(1)
    gathered = cache.flatten(0, 1).index_select(0, places.flatten())  # [R * K * blocks, block, D]
    return gathered.view(len(blocks), kv_heads, -1, head_dim)[:, :, :length]


def _decode_blocks(memory: AttentionMetadata) -> Tensor | slice:
    """The blocks of the decodes: a slice where they are neighbors, as in a full static batch, else [D, blocks]."""
    if ("decode_blocks",) not in memory.derived:
        memory.derived[("decode_blocks",)] = _find_decode_blocks(memory)
    return memory.derived[("decode_blocks",)]


def _find_decode_blocks(memory: AttentionMetadata) -> Tensor | slice:
    if memory.decode_length <= memory.block_size:
        held = memory.first_blocks[memory.decodes]
        first = int(held[0])
        if (held == np.arange(first, first + len(held))).all():
            return slice(first, first + len(held))
    blocks = -(-memory.decode_length // memory.block_size)
    return memory.block_tables[memory.decode_rows, :blocks]


def _chunk_blocks(memory: AttentionMetadata, span: Span) -> Tensor | slice:
    """The blocks of a chunk: a slice where it is but one, else [1, blocks]."""
    blocks = -(-span.end // memory.block_size)
    if blocks == 1:
        only = int(memory.first_blocks[span.row])
        return slice(only, only + 1)
    return memory.block_tables[span.row : span.row + 1, :blocks]


def _decode_mask(memory: AttentionMetadata, state: LayerState, dtype: torch.dtype) -> Tensor | None:
    """What is added to the scores of the decodes, [D, 1, 1, length]; None when every row sees all there is."""
    longest = memory.decode_length
    window, chunk = _bounds(state, longest)
    if window is None and chunk is None and int(memory.starts[memory.decodes].min()) + 1 == longest:
        return None
    key = ("decode_mask", window, chunk, dtype)
    if key not in memory.derived:
        ends = memory.seq_lens[memory.decode_rows].view(-1, 1, 1, 1)
        at = torch.arange(longest, device=memory.block_tables.device)
        seen = at < ends
        if window is not None:
            seen &= at >= ends - window
        if chunk is not None:
            seen &= at >= (ends - 1) // chunk * chunk
        mask = torch.zeros(seen.shape, dtype=dtype, device=seen.device)
        memory.derived[key] = mask.masked_fill_(~seen, float("-inf"))
    return memory.derived[key]


def _bounds(state: LayerState, length: int) -> tuple[int | None, int | None]:
    """The window and the chunk of a layer, where they are shorter than what there is."""
    window = state.window if state.window is not None and length > state.window else None
    return window, state.chunk if state.chunk is not None and length > state.chunk else None


def _chunk_mask(memory: AttentionMetadata, span: Span, state: LayerState, *, explicit: bool) -> Tensor | None:
    """Which keys each query of a chunk sees, [count, end] bool; None where plain causal order says it all.

    Args:
        explicit: it is wanted even then.
    """
    window, chunk = _bounds(state, span.end)
    if span.start == 0 and window is None and chunk is None and not explicit:
        return None
    key = ("chunk_mask", span, window, chunk)
    if key not in memory.derived:
        query = torch.arange(span.start, span.end, device=memory.block_tables.device).unsqueeze(1)
        at = torch.arange(span.end, device=memory.block_tables.device)
        seen = at <= query
        if window is not None:
            seen &= at > query - window
        if chunk is not None:
            seen &= at >= query // chunk * chunk
        memory.derived[key] = seen
    return memory.derived[key]
