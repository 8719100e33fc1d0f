"""The most likely candidates of a row: so many, or so much of its probability, without sorting it.

A candidate stays when what is ahead of it, candidates or probability, is less than a limit. Ahead is what has a greater
logit or, of equals, a lower place. The least logit that stays is found by halving the range of its 32 bits; each time
what is above is added up again, which a row that stays in cache makes cheap.
"""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.kernels.triton.launch import FUSED, power_of_two

__all__ = ["LEAST", "PIECE", "WARPS", "keep_most_likely"]

#: How many candidates are looked at at once, by all the threads that a program can have.
PIECE = 16384
LEAST = 1024
WARPS = 32


def keep_most_likely(logits: Tensor, limits: Tensor, *, by_probability: bool) -> Tensor:
    """Return logits [N, C] float32 with what does not stay at minus infinity; the most likely always stays.

    Args:
        limits: [N] float32, how many of them or, `by_probability`, how much.
    """
    logits = logits.contiguous()
    rows, count = logits.shape
    kept = torch.empty_like(logits)
    _keep[(rows,)](
        logits, limits, kept, count,
        PROBABILITY=by_probability, PIECE=max(min(PIECE, power_of_two(count)), LEAST), num_warps=WARPS, **FUSED,
    )  # fmt: skip
    return kept


@triton.jit
def _bits(logit):
    """Numbers int32 that are in order as logits are; of 0 there is but one."""
    bits = (logit + 0.0).to(tl.int32, bitcast=True)
    return tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


@triton.jit
def _ahead(line, count, threshold, peak, scale, PROBABILITY: tl.constexpr, PIECE: tl.constexpr):
    """What has bits above a threshold: how many, or how probable."""
    total = tl.zeros([PIECE], tl.float32)
    for start in range(0, count, PIECE):
        at = start + tl.arange(0, PIECE)
        logit = tl.load(line + at, mask=at < count, other=float("-inf"))
        above = (_bits(logit) > threshold) & (at < count)
        total += tl.where(above, tl.exp(logit - peak) * scale if PROBABILITY else 1.0, 0.0)
    return tl.sum(total, axis=0)


@triton.jit
def _keep(logits, limits, kept, count, PROBABILITY: tl.constexpr, PIECE: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    line = logits + row * count
    limit = tl.load(limits + row)
    peaks = tl.full([PIECE], float("-inf"), tl.float32)
    for start in range(0, count, PIECE):
        at = start + tl.arange(0, PIECE)
        peaks = tl.maximum(peaks, tl.load(line + at, mask=at < count, other=float("-inf")))
    high = _bits(tl.max(peaks, axis=0))
    # Where all is masked, there is no peak to measure against.
    peak = tl.maximum(tl.max(peaks, axis=0), -1e38)
    scale = 1.0
    if PROBABILITY:
        whole = tl.zeros([PIECE], tl.float32)
        for start in range(0, count, PIECE):
            at = start + tl.arange(0, PIECE)
            whole += tl.exp(tl.load(line + at, mask=at < count, other=float("-inf")) - peak)
        scale = 1.0 / tl.maximum(tl.sum(whole, axis=0), 1e-30)
    # The least bits of which less than the limit is ahead: between those of minus infinity and of the peak.
    low = tl.full([], -2139095041, tl.int32)
    while low < high:
        middle = (low.to(tl.int64) + high.to(tl.int64)) >> 1
        middle = middle.to(tl.int32)
        if _ahead(line, count, middle, peak, scale, PROBABILITY, PIECE) < limit:
            high = middle
        else:
            low = middle + 1
    ahead = _ahead(line, count, low, peak, scale, PROBABILITY, PIECE)
    equals = 0
    for start in range(0, count, PIECE):
        at = start + tl.arange(0, PIECE)
        logit = tl.load(line + at, mask=at < count, other=float("-inf"))
        bits = _bits(logit)
        equal = (bits == low) & (at < count)
        before = equals + tl.cumsum(equal.to(tl.int32), axis=0) - equal.to(tl.int32)
        own = tl.exp(logit - peak) * scale if PROBABILITY else 1.0
        stays = (bits > low) | (equal & ((ahead + before.to(tl.float32) * own < limit) | (ahead + before == 0.0)))
        tl.store(kept + row * count + at, tl.where(stays, logit, float("-inf")), mask=at < count)
        equals += tl.sum(equal.to(tl.int32), axis=0)
