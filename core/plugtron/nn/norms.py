"""Normalization."""

from __future__ import annotations

from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from plugtron.nn.config import DecoderConfig
from plugtron.parallel.layers import Part, Rows, ShardedModule, parameter
from plugtron.parallel.runtime import Runtime

__all__ = ["LayerNorm", "Norm", "RMSNorm", "make_norm"]


class Norm(ShardedModule):
    """What norms share: every `width` channels are normalized by themselves, so that a head can be, too.

    Args:
        width: how many channels are normalized together.
        epsilon: what is added to their variance.
        bias: there is one.
        weighted: there is a weight; else what is normalized stays as it is.
        offset: what is added to the weight: 1 where checkpoints hold its difference from 1.
        heads: each head has a weight of its own, stored as [heads, width], and these are this rank's; None: all have
            the same.
    """

    def __init__(
        self,
        width: int,
        epsilon: float,
        runtime: Runtime,
        *,
        bias: bool = False,
        weighted: bool = True,
        offset: float = 0.0,
        heads: Rows | None = None,
    ) -> None:
        super().__init__()
        self.width = width
        self.epsilon = epsilon
        self.offset = offset
        size, part = width, Part(shape=(width,))
        if heads is not None:
            size = heads.count * width
            part = Part(shape=(heads.total, width), source=(slice(heads.start, heads.start + heads.count),))
        self.weight: nn.Parameter | None = parameter(runtime, size) if weighted else None
        self.bias: nn.Parameter | None = parameter(runtime, size) if bias else None
        if weighted:
            self.parts["weight"] = (part,)
        if bias:
            self.parts["bias"] = (part,)

    def _affine(self, normed: Tensor) -> Tensor:
        """Multiply with the weight, and add the bias, [T, C] or [T, heads, width]."""
        if self.weight is not None:
            weight = self.weight.float() + self.offset
            normed = normed * weight.view(-1, self.width)
        if self.bias is not None:
            normed = normed + self.bias.float().view(-1, self.width)
        return normed

    def _is_simple(self, hidden: Tensor) -> bool:
        """Whether torch has it in one function."""
        return hidden.shape[-1] == self.width and not self.offset

    def _in_float(self, hidden: Tensor, normalize: partial[Tensor]) -> Tensor:
        wide = hidden.float().unflatten(-1, (-1, self.width))
        return self._affine(normalize(wide)).flatten(-2).to(hidden.dtype)


class RMSNorm(Norm):
    """x / rms(x) · weight over every `width` channels (arXiv:1910.07467). Every rank holds the whole weight."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [..., C] to the same shape; C is a multiple of `width`."""
        if self._is_simple(hidden) and self.bias is None:
            return F.rms_norm(hidden, (self.width,), self.weight, self.epsilon)
        return self._in_float(hidden, partial(F.rms_norm, normalized_shape=(self.width,), eps=self.epsilon))


class LayerNorm(Norm):
    """(x - mean(x)) / std(x) · weight + bias over every `width` channels (arXiv:1607.06450)."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [..., C] to the same shape; C is a multiple of `width`."""
        if self._is_simple(hidden):
            return F.layer_norm(hidden, (self.width,), self.weight, self.bias, self.epsilon)
        return self._in_float(hidden, partial(F.layer_norm, normalized_shape=(self.width,), eps=self.epsilon))


def make_norm(config: DecoderConfig, width: int, runtime: Runtime, *, heads: Rows | None = None) -> RMSNorm | LayerNorm:
    """Return a norm of the kind that a decoder has throughout."""
    epsilon, offset, weighted = config.norm_epsilon, config.norm_offset, config.norm_weight
    if config.norm == "rms":
        return RMSNorm(width, epsilon, runtime, weighted=weighted, offset=offset, heads=heads)
    return LayerNorm(width, epsilon, runtime, bias=config.norm_bias, weighted=weighted, offset=offset, heads=heads)
