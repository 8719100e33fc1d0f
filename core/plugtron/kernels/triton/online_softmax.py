"""The softmax of scores that come piece by piece (Milakov and Gimelshein, arXiv:1805.02867), and its sum of values."""

from __future__ import annotations

import triton
import triton.language as tl

__all__ = ["absorb", "shaped"]


@triton.jit
def shaped(score, distance, cap, slope, CAPPED: tl.constexpr, SLOPED: tl.constexpr):
    """Scores [Q, P] capped softly, with what they lose over distances [Q, P] or [1, P] by slopes [Q]."""
    if CAPPED:
        score = cap * (2.0 * tl.sigmoid(2.0 * score / cap) - 1.0)
    if SLOPED:
        score = score - slope[:, None] * distance.to(tl.float32)
    return score


@triton.jit
def absorb(score, value, peak, total, summed):
    """Take scores [Q, P] and values [P, D] in; return the greatest score, and the sums of weights and of values.

    A score of -inf is of what a query does not see.
    """
    new_peak = tl.maximum(peak, tl.max(score, axis=1))
    # A window may begin later: as long as nothing is seen, there is no peak to measure against.
    base = tl.where(new_peak == float("-inf"), 0.0, new_peak)
    weight = tl.exp(score - base[:, None])
    fade = tl.exp(peak - base)
    added = tl.dot(weight.to(value.dtype), value, input_precision="ieee")
    return new_peak, total * fade + tl.sum(weight, axis=1), summed * fade[:, None] + added
