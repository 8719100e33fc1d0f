"""Rotation of queries and keys, their norms where they have one, and the way into KV memory: one pass over qkv."""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.kernels.triton.launch import FUSED, power_of_two

__all__ = ["rotate_and_write"]


def rotate_and_write(
    qkv: Tensor,
    cosines: Tensor | None,
    sines: Tensor | None,
    norms: tuple[Tensor, Tensor] | None,
    epsilon: float,
    keys: Tensor,
    values: Tensor,
    blocks: Tensor,
    offsets: Tensor,
    *,
    interleaved: bool = False,
    offset: float = 0.0,
    growth: Tensor | None = None,
) -> Tensor:
    """Return queries [T, h, D]; put keys and values in their places. What rotates is rounded once, at the end.

    Args:
        qkv: [T, (h + 2 k) D].
        cosines, sines: of the channels that rotate, [T, width], the sines of the first of each pair negated; or None.
        norms: weights [D] of root-mean-square norms of queries and of keys, before they rotate.
        keys, values: a layer's memory, [blocks, k, block, D].
        blocks, offsets: [T] int64, where each token's key and value go; nowhere for block 0.
        offset: what is added to the weights of norms.
        interleaved: channels rotate with their neighbors, else the first half with the second.
        growth: [T], what queries are multiplied with once they have rotated; or None.
    """
    tokens, kv_heads, head_dim = len(qkv), keys.shape[1], keys.shape[3]
    heads = qkv.shape[1] // head_dim - 2 * kv_heads
    queries = torch.empty(tokens, heads, head_dim, dtype=qkv.dtype, device=qkv.device)
    query_norm, key_norm = (qkv, qkv) if norms is None else norms
    _rotate_and_write[(tokens, heads + 2 * kv_heads)](
        qkv,
        qkv if cosines is None else cosines,
        qkv if sines is None else sines,
        query_norm,
        key_norm,
        qkv if growth is None else growth,
        queries,
        keys,
        values,
        blocks,
        offsets,
        epsilon,
        offset,
        keys.shape[2],
        HEADS=heads,
        KV_HEADS=kv_heads,
        DIM=head_dim,
        WIDTH=0 if cosines is None else cosines.shape[-1],
        NORM=norms is not None,
        INTERLEAVED=interleaved,
        GROWS=growth is not None,
        BLOCK=power_of_two(head_dim),
        num_warps=1,
        **FUSED,
    )
    return queries


@triton.jit(do_not_specialize_on_alignment=["blocks", "offsets"])  # parts of larger tensors
def _rotate_and_write(
    qkv, cosines, sines, query_norm, key_norm, growth, queries, keys, values, blocks, offsets, epsilon, offset,
    block_size,
    HEADS: tl.constexpr, KV_HEADS: tl.constexpr, DIM: tl.constexpr, WIDTH: tl.constexpr, NORM: tl.constexpr,
    INTERLEAVED: tl.constexpr, GROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1)
    at = tl.arange(0, BLOCK)
    inside = at < DIM
    source = qkv + (token * (HEADS + 2 * KV_HEADS) + head) * DIM
    own = tl.load(source + at, mask=inside, other=0.0)
    if head < HEADS + KV_HEADS:
        line = own.to(tl.float32)
        # What a channel rotates against. Results go elsewhere, so that nobody reads what another thread has written.
        if INTERLEAVED:
            other = tl.where(at < WIDTH, at ^ 1, at)
        else:
            other = tl.where(at < WIDTH, tl.where(at < WIDTH // 2, at + WIDTH // 2, at - WIDTH // 2), at)
        partner = tl.load(source + other, mask=inside, other=0.0).to(tl.float32)
        if NORM:
            norm = query_norm
            if head >= HEADS:
                norm = key_norm
            factor = 1.0 / tl.sqrt(tl.sum(line * line, axis=0) / DIM + epsilon)
            weight = tl.load(norm + at, mask=inside, other=0.0).to(tl.float32) + offset
            # Rounded in between, as the norm's own result is.
            line = (line * factor * weight).to(qkv.dtype.element_ty).to(tl.float32)
            weight = tl.load(norm + other, mask=inside, other=0.0).to(tl.float32) + offset
            partner = (partner * factor * weight).to(qkv.dtype.element_ty).to(tl.float32)
        if WIDTH > 0:
            cosine = tl.load(cosines + token * WIDTH + at, mask=at < WIDTH, other=1.0).to(tl.float32)
            sine = tl.load(sines + token * WIDTH + at, mask=at < WIDTH, other=0.0).to(tl.float32)
            line = line * cosine + partner * sine
        if GROWS:  # noqa: SIM102 - known when this is compiled, the rest is not
            if head < HEADS:
                line = line * tl.load(growth + token).to(tl.float32)
        own = line.to(qkv.dtype.element_ty)
    if head < HEADS:
        tl.store(queries + (token * HEADS + head) * DIM + at, own, mask=inside)
    else:
        memory = keys
        kv_head = head - HEADS
        if head >= HEADS + KV_HEADS:
            memory = values
            kv_head = head - HEADS - KV_HEADS
        block = tl.load(blocks + token)
        if block > 0:
            place = (block * KV_HEADS + kv_head) * block_size + tl.load(offsets + token)
            if memory.dtype.element_ty == tl.float8e4nv:  # which ends at 448
                own = tl.where(own > 448.0, 448.0, tl.where(own < -448.0, -448.0, own))
            tl.store(memory + place * DIM + at, own.to(memory.dtype.element_ty), mask=inside)
