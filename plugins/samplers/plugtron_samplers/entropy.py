"""How uncertain a distribution is."""

from __future__ import annotations

from torch import Tensor

__all__ = ["entropy_of"]

#: Below the greatest logit by this much, a probability is 0 in float32.
_NOTHING = -200.0


def entropy_of(logits: Tensor, probabilities: Tensor) -> Tensor:
    """The entropy of each row in nats, [N, 1], from logits [N, C] and their softmax; masked candidates add nothing."""
    below = (logits - logits.amax(dim=1, keepdim=True)).clamp_(min=_NOTHING)
    # With y below the greatest, log p = y + log p_max.
    return -(below.mul_(probabilities).sum(dim=1, keepdim=True) + probabilities.amax(dim=1, keepdim=True).log())
