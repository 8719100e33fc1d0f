"""Sampling on a GPU: the kernels of draw and most_likely as one thing to choose."""

from __future__ import annotations

import torch
from torch import Tensor

from plugtron.kernels.triton.draw import draw_tokens
from plugtron.kernels.triton.most_likely import keep_most_likely

__all__ = ["TritonSampling"]


class TritonSampling:
    """See plugtron.kernels.sampling for what is computed."""

    def draw(self, scores: Tensor, ids: Tensor | None, seeds: Tensor, positions: Tensor, greedy: Tensor) -> Tensor:
        """Return one id per row, [N] int64."""
        with _on(scores):
            return draw_tokens(scores, ids, seeds, positions, greedy)

    def keep_most_likely(self, logits: Tensor, limits: Tensor, *, by_probability: bool) -> Tensor:
        """Return logits [N, C] with what does not stay at minus infinity."""
        with _on(logits):
            return keep_most_likely(logits, limits.float(), by_probability=by_probability)


def _on(tensor: Tensor) -> torch.cuda.device:
    """Choose a tensor's device, which is each thread's own choice."""
    return torch.cuda.device(tensor.device if tensor.is_cuda else -1)
