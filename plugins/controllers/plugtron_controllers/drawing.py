"""The draw: Gumbel-max over what the chain has left, and the log probabilities that requests ask for.

argmax(logits + Gumbel noise) is a draw from softmax(logits) (Gumbel, 1954). With noise that depends only on seed,
position and token id, the draw depends on nothing else either.
"""

from __future__ import annotations

import torch
from torch import Tensor

from plugtron.contracts.sampler import Candidates
from plugtron.kernels.philox import gumbel

__all__ = ["draw", "log_probabilities"]


def draw(candidates: Candidates, seeds: Tensor, greedy: Tensor, *, all_greedy: bool) -> Tensor:
    """Return one token id per row, [N] int64; -1 where every candidate is masked, or the logits are no numbers.

    Args:
        seeds: [N] int64.
        greedy: [N] bool, the rows that take the most likely.
        all_greedy: the same for the host: whether there is nothing to draw.
    """
    scores = candidates.logits
    if not all_greedy:
        noise = gumbel(seeds, candidates.positions, scores.shape[1], candidates.ids)
        scores = torch.where(greedy.unsqueeze(1), scores, scores + noise)
    best, columns = _greatest(scores)
    chosen = columns if candidates.ids is None else candidates.ids.gather(1, columns)
    return torch.where(best.abs() < float("inf"), chosen, -1).squeeze(1)


def _greatest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Return the greatest of each row and its column, [N, 1] each. What is no number is greater than anything."""
    if scores.device.type != "cpu":
        return scores.max(dim=1, keepdim=True)
    # numpy's search is several times as fast as torch's on a CPU.
    columns = torch.from_numpy(scores.numpy().argmax(axis=1)).unsqueeze(1)
    return scores.gather(1, columns), columns


def log_probabilities(candidates: Candidates, row: int, token: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return log probabilities in a row: of `token`, [], and ids and values of the `top` best, [K] each."""
    values = candidates.logits[row].log_softmax(dim=0)
    ids = None if candidates.ids is None else candidates.ids[row]
    place = token if ids is None else (ids == token).int().argmax()
    best, places = values.topk(min(top, len(values)))
    return values[place], places if ids is None else ids[places], best
