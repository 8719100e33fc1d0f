"""Counter-based random numbers: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011).

A number depends on nothing but its key and counter, so a draw is the same whatever else is in the batch, whichever
engine runs it and in whatever order the candidates come.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["gumbel", "philox", "uniform"]

_MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
_WEYL = (0x9E3779B9, 0xBB67AE85)
_MASK = 0xFFFFFFFF
_ROUNDS = 10


def philox(counter: tuple[Tensor, Tensor, Tensor, Tensor], key: tuple[Tensor, Tensor]) -> tuple[Tensor, ...]:
    """Return four tensors of 32-bit numbers (in int64) for four counters and two keys that broadcast together."""
    c0, c1, c2, c3 = torch.broadcast_tensors(*counter)
    k0, k1 = key
    for _ in range(_ROUNDS):
        # 32 × 32 bits fit in 64; the sign bit that int64 may show is cut off by the mask after the shift.
        product0, product1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        high0, high1 = (product0 >> 32) & _MASK, (product1 >> 32) & _MASK
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, product1 & _MASK, high0 ^ c3 ^ k1, product0 & _MASK
        k0, k1 = (k0 + _WEYL[0]) & _MASK, (k1 + _WEYL[1]) & _MASK
    return c0, c1, c2, c3


def gumbel(seeds: Tensor, positions: Tensor, width: int, ids: Tensor | None = None) -> Tensor:
    """Standard Gumbel noise for candidates, float32, keyed by (seed, position, token id).

    Args:
        seeds, positions: [N] int64, per row.
        width: C, the number of candidates; without `ids`, their ids are 0 ... C - 1.
        ids: [N, C] int64, or None.

    Returns:
        [N, C] float32.
    """
    if ids is not None:
        words = torch.stack(_words(seeds, positions, ids >> 2), dim=-1)  # [N, C, 4]
        return _to_gumbel(words.gather(-1, (ids & 3).unsqueeze(-1)).squeeze(-1))
    # Four neighboring ids share a counter, so the whole vocabulary costs a quarter of one number per id.
    blocks = torch.arange(-(-width // 4), device=seeds.device).unsqueeze(0)
    words = torch.stack(_words(seeds, positions, blocks), dim=-1).flatten(1)  # [N, 4 * blocks]
    return _to_gumbel(words[:, :width])


def uniform(seeds: Tensor, positions: Tensor, *, stream: int) -> Tensor:
    """A number above 0 and below 1 for each row, [N] float32, keyed by (seed, position, stream).

    Args:
        seeds, positions: [N] int64.
        stream: from 1; `gumbel` takes what would be stream 0.
    """
    words = _words(seeds, positions, torch.zeros_like(seeds).unsqueeze(1), stream)[0]
    return _to_uniform(words.squeeze(1))


def _words(seeds: Tensor, positions: Tensor, blocks: Tensor, stream: int = 0) -> tuple[Tensor, ...]:
    positions, seeds = positions.unsqueeze(1), seeds.unsqueeze(1)
    last = torch.full_like(positions, stream)
    return philox((blocks, positions & _MASK, positions >> 32, last), (seeds & _MASK, (seeds >> 32) & _MASK))


def _to_uniform(words: Tensor) -> Tensor:
    return ((words.to(torch.float32) + 0.5) * 2.0**-32).clamp_(max=1.0 - 2.0**-24)


def _to_gumbel(words: Tensor) -> Tensor:
    # -log(-log(1 - u)): the winners of a draw have u near 0, where float32 is at its most precise. A u that rounds
    # to 1 would give -inf - harmless, but a masked candidate plus it must not become NaN.
    return -torch.log(-torch.log1p(-_to_uniform(words)))
