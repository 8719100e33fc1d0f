"""A draw in one pass: Gumbel noise for every candidate, and the greatest sum. What plugtron.kernels.philox defines.

Pieces of a row have programs of their own; among equals the first candidate wins, in a piece and among pieces.
"""

# A launch takes more than the kernel's own parameters, and numbers for its constants.
# pyright: reportCallIssue=false, reportArgumentType=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from plugtron.kernels.triton.launch import FUSED

__all__ = ["PIECE", "draw_tokens"]

#: Candidates of one program.
PIECE = 4096


def draw_tokens(scores: Tensor, ids: Tensor | None, seeds: Tensor, positions: Tensor, greedy: Tensor) -> Tensor:
    """Return one id per row, [N] int64; -1 where every candidate is masked, -2 where one is NaN or infinite.

    Args:
        scores: [N, C] float32.
        ids: [N, C] int64; None: 0 ... C - 1.
        seeds, positions: [N] int64, what a row's noise is keyed by.
        greedy: [N] bool, the rows that get no noise.
    """
    rows, count = scores.shape
    pieces = triton.cdiv(count, PIECE)
    best = torch.empty(rows, pieces, dtype=torch.float32, device=scores.device)
    chosen = torch.empty(rows, pieces, dtype=torch.int64, device=scores.device)
    tokens = torch.empty(rows, dtype=torch.int64, device=scores.device)
    _draw[(rows, pieces)](
        scores, scores if ids is None else ids, seeds, positions, greedy, best, chosen,
        count, scores.stride(0), 0 if ids is None else ids.stride(0), pieces,
        IDS=ids is not None, PIECE=PIECE, num_warps=8, **FUSED,
    )  # fmt: skip
    _choose[(rows,)](best, chosen, tokens, pieces, PIECES=triton.next_power_of_2(pieces), num_warps=1, **FUSED)
    return tokens


@triton.jit
def _gumbel(words):
    """Standard Gumbel noise from 32 random bits."""
    uniform = tl.minimum((words.to(tl.float32) + 0.5) * 2.3283064365386963e-10, 1.0 - 5.960464477539063e-08)
    # -log(1 - u). Winners have a small u, of which a GPU's logarithm of what is nearly 1 would tell little.
    series = 1.0 / 6.0 + uniform * (1.0 / 7.0)
    series = 1.0 / 3.0 + uniform * (1.0 / 4.0 + uniform * (1.0 / 5.0 + uniform * series))
    series = uniform * (1.0 + uniform * (0.5 + uniform * series))
    exponential = tl.where(uniform < 0.1, series, -tl.log(1.0 - uniform))
    return -tl.log(exponential)


@triton.jit(do_not_specialize_on_alignment=["ids", "seeds", "positions", "greedy"])  # parts of larger tensors
def _draw(
    scores, ids, seeds, positions, greedy, best, chosen, count, score_stride, id_stride, pieces,
    IDS: tl.constexpr, PIECE: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    piece = tl.program_id(1)
    at = piece * PIECE + tl.arange(0, PIECE)
    inside = at < count
    score = tl.load(scores + row * score_stride + at, mask=inside, other=float("-inf"))
    own = tl.load(ids + row * id_stride + at, mask=inside, other=0) if IDS else at.to(tl.int64)
    if tl.load(greedy + row) == 0:
        seed = tl.load(seeds + row)
        position = tl.load(positions + row)
        if IDS:
            nothing = tl.zeros([PIECE], tl.uint32)
            low, high = nothing + (position & 0xFFFFFFFF).to(tl.uint32), nothing + (position >> 32).to(tl.uint32)
            word_0, word_1, word_2, word_3 = tl.philox(seed, (own >> 2).to(tl.uint32), low, high, nothing)
            one = (own & 1) == 1
            words = tl.where((own & 2) == 2, tl.where(one, word_3, word_2), tl.where(one, word_1, word_0))
        else:
            # Four neighbors share a counter.
            nothing = tl.zeros([PIECE // 4], tl.uint32)
            low, high = nothing + (position & 0xFFFFFFFF).to(tl.uint32), nothing + (position >> 32).to(tl.uint32)
            block = (piece * (PIECE // 4) + tl.arange(0, PIECE // 4)).to(tl.uint32)
            word_0, word_1, word_2, word_3 = tl.philox(seed, block, low, high, nothing)
            words = tl.reshape(tl.join(tl.join(word_0, word_2), tl.join(word_1, word_3)), (PIECE,))
        score += _gumbel(words)
    # What is no number must win, so that it is seen.
    score = tl.where(score == score, score, float("inf"))
    value, place = tl.max(score, axis=0, return_indices=True, return_indices_tie_break_left=True)
    tl.store(best + row * pieces + piece, value)
    tl.store(chosen + row * pieces + piece, tl.sum(tl.where(at == piece * PIECE + place, own, 0), axis=0))


@triton.jit
def _choose(best, chosen, tokens, pieces, PIECES: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, PIECES)
    value = tl.load(best + row * pieces + at, mask=at < pieces, other=float("-inf"))
    most, place = tl.max(value, axis=0, return_indices=True, return_indices_tie_break_left=True)
    token = tl.load(chosen + row * pieces + place)
    tl.store(tokens + row, tl.where(tl.abs(most) < float("inf"), token, tl.where(most < 0, -1, -2)))
