"""The draw: Gumbel-max over what the chain has left, and the log probabilities that requests ask for.

argmax(logits + Gumbel noise) is a draw from softmax(logits) (Gumbel, 1954). With noise that depends only on seed,
position and token id, the draw depends on nothing else either.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from plugtron.contracts import Candidates
from plugtron.kernels import SamplingKernels, gumbel

__all__ = ["draw", "draw_greedily", "log_probabilities", "warm_up"]


def draw(candidates: Candidates, seeds: Tensor, greedy: Tensor) -> Tensor:
    """Return one token id per row, [N] int64; -1 where every candidate is masked, -2 where one is NaN or infinite.

    Args:
        seeds: [N] int64.
        greedy: [N] bool, the rows that take the most likely.
    """
    scores = candidates.logits
    noise = gumbel(seeds, candidates.positions, scores.shape[1], candidates.ids)
    return _most_likely(torch.where(greedy.unsqueeze(1), scores, scores + noise), candidates.ids)


def draw_greedily(candidates: Candidates) -> Tensor:
    """Return the most likely token of each row, as `draw` does."""
    return _most_likely(candidates.logits, candidates.ids)


def warm_up(kernels: SamplingKernels, logits: Tensor, seeds: Tensor, greedy: Tensor) -> None:
    """Draw once on a GPU, so that nobody's first draw waits for a compiler.

    Args:
        logits: [1, V], of no meaning, as are the others.
    """
    for ids in (None, torch.zeros_like(logits, dtype=torch.int64)):
        kernels.draw(logits, ids, seeds, seeds, greedy)
    for by_probability in (False, True):
        kernels.keep_most_likely(logits, logits[:, :1], by_probability=by_probability)


def _most_likely(scores: Tensor, ids: Tensor | None) -> Tensor:
    """Return the id of the greatest of each row, [N] int64. What is no number is greater than anything."""
    if scores.device.type == "cpu":
        # On a CPU numpy's search is several times as fast as torch's, and a call of it takes a fifth of the time.
        there = scores.numpy()
        columns = there.argmax(axis=1)
        rows = np.arange(len(columns))
        chosen = columns if ids is None else ids.numpy()[rows, columns]
        best = there[rows, columns]
        return torch.from_numpy(np.where(np.isfinite(best), chosen, np.where(best == -np.inf, -1, -2)))
    best, columns = scores.max(dim=1, keepdim=True)
    chosen = columns if ids is None else ids.gather(1, columns)
    none = torch.where(best == float("-inf"), -1, -2)
    return torch.where(best.abs() < float("inf"), chosen, none).squeeze(1)


def log_probabilities(logits: Tensor, ids: Tensor | None, token: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return log probabilities in a row: of `token`, [], and ids and values of the `top` best, [K] each.

    Args:
        logits: [C].
        ids: [C], or None while the column is the token id.
    """
    # A copy: of a row within others, the order in which torch sums up would depend on where it begins.
    values = logits.clone().log_softmax(dim=0)
    place = token if ids is None else (ids == token).int().argmax()
    best, places = values.topk(min(top, len(values)))
    # With a number for an index torch would ask the device for it, and wait.
    return values[place.view(1)].squeeze(0), places if ids is None else ids[places], best
