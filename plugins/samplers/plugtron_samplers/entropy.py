"""How uncertain a distribution is."""

from __future__ import annotations

from torch import Tensor

__all__ = ["entropy_of"]


def entropy_of(log_probs: Tensor) -> Tensor:
    """The entropy of each row in nats, [N, 1], from log probabilities [N, C]; masked candidates add nothing."""
    masked = log_probs == float("-inf")
    return -(log_probs.exp() * log_probs.masked_fill(masked, 0.0)).sum(dim=1, keepdim=True)
