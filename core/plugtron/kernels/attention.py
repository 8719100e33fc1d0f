"""Attention over KV memory, and writing to it: the torch reference.

Shapes: T tokens, H query heads and K key-value heads of this rank, D the width of a head, L a history's length.
H / K queries share each key-value head (grouped queries, arXiv:2305.13245).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from plugtron.context.memory import LayerState, MemoryView, Span
from plugtron.kernels.float8 import FLOAT8, to_float8

__all__ = ["attend", "write"]


def write(key: Tensor, value: Tensor, state: LayerState, memory: MemoryView) -> None:
    """Put keys and values [T, K, D] in their places."""
    place = (memory.write_blocks, memory.write_offsets)
    keys, values = state.keys, state.values
    if keys.dtype == FLOAT8:  # which is moved as bytes: not every device has operations for it
        keys, values = keys.view(torch.uint8), values.view(torch.uint8)
        key, value = to_float8(key).view(torch.uint8), to_float8(value).view(torch.uint8)
    keys.transpose(1, 2).index_put_(place, key)
    values.transpose(1, 2).index_put_(place, value)


def attend(query: Tensor, state: LayerState, memory: MemoryView, scale: float) -> Tensor:
    """Let each token's queries [T, H, D] look at what its row has in memory; returns [T, H, D]."""
    tokens = memory.decode_tokens
    if tokens is None:
        return _decode(query, state, memory, scale)
    output = torch.empty_like(query)
    if len(memory.decodes):
        output[tokens] = _decode(query[tokens], state, memory, scale)
    for span in memory.chunks:
        inside = slice(span.first, span.first + span.count)
        output[inside] = _chunk(query[inside], span, state, memory, scale)
    return output


def _decode(query: Tensor, state: LayerState, memory: MemoryView, scale: float) -> Tensor:
    """All rows with one token at once; the queries of a group take the place of query positions. [D, H, D]."""
    kv_heads, head_dim = state.keys.shape[1], state.keys.shape[3]
    length = memory.decode_length
    keys = _histories(state.keys, memory.decode_blocks, length).to(query.dtype)
    values = _histories(state.values, memory.decode_blocks, length).to(query.dtype)
    grouped = query.view(len(query), kv_heads, -1, head_dim)
    mask = memory.decode_mask(state.window, query.dtype)
    output = F.scaled_dot_product_attention(grouped, keys, values, attn_mask=mask, scale=scale)
    return output.reshape(query.shape)  # some of torch's kernels return another layout


def _chunk(query: Tensor, span: Span, state: LayerState, memory: MemoryView, scale: float) -> Tensor:
    """One row with several tokens. [count, H, D]."""
    blocks = memory.chunk_blocks(span)
    keys = _histories(state.keys, blocks, span.end).to(query.dtype)
    values = _histories(state.values, blocks, span.end).to(query.dtype)
    mask = memory.chunk_mask(span, state.window)
    # [1, H, count, D]: heads before positions
    output = F.scaled_dot_product_attention(
        query.transpose(0, 1).unsqueeze(0), keys, values, attn_mask=mask, is_causal=mask is None, scale=scale,
        enable_gqa=query.shape[1] != keys.shape[1],
    )  # fmt: skip
    return output[0].transpose(0, 1)


def _histories(cache: Tensor, blocks: Tensor | slice, length: int) -> Tensor:
    """The first `length` positions of each row, [R, K, length, D]: a view where the blocks are neighbours."""
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
