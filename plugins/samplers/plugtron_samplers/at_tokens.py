"""Changing the logits of some tokens, and leaving the rest of a vocabulary alone."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from plugtron.contracts import Candidates

__all__ = ["mask_at", "subtract_at"]


def subtract_at(candidates: Candidates, tokens: Tensor, lost: Tensor, vocab_size: int) -> Candidates:
    """Subtract from the logits of tokens [N, L] what each loses, [N, L] at least 0; of a token's several the most.

    Places without a token, below 0, lose nothing.
    """
    lost, named = lost.masked_fill(tokens < 0, 0.0), tokens.clamp(min=0)
    if candidates.ids is None:
        less = candidates.logits.gather(1, named) - lost
        return replace(candidates, logits=candidates.logits.scatter_reduce(1, named, less, "amin"))
    spread = torch.zeros(len(tokens), vocab_size, device=tokens.device)
    spread = spread.scatter_reduce_(1, named, lost, "amax").gather(1, candidates.ids)
    return replace(candidates, logits=candidates.logits - spread)


def mask_at(logits: Tensor, ids: Tensor | None, tokens: Tensor) -> None:
    """Mask tokens [T] in one row of logits [C], in place; without `ids` [C] the column is the token."""
    if ids is None:
        logits.index_fill_(0, tokens, float("-inf"))
    else:
        logits.masked_fill_(torch.isin(ids, tokens), float("-inf"))
