"""Blocks of a decoder as Triton kernels compute them. Their parameters stay where they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from plugtron.contracts.attention import Scores
from plugtron.contracts.memory import LayerState
from plugtron.execution.step_inputs import StepInputs
from plugtron.kernels.triton.expert_linear import ExpertRows
from plugtron.kernels.triton.expert_weights import ExpertWeights
from plugtron.kernels.triton.norms import add_and_normalize
from plugtron.kernels.triton.rotary import rotate_and_write
from plugtron.nn.attention import CoreAttention
from plugtron.nn.experts import Experts
from plugtron.nn.norms import LayerNorm, Norm
from plugtron.nn.rotary import Rotation

__all__ = ["KernelAttention", "KernelExperts", "KernelNorm", "StackedAttention"]


class KernelAttention(nn.Module):
    """Attention from queries, keys and values side by side.

    Args:
        norms: of queries and keys, before they rotate; None: there are none.
    """

    def __init__(self, core: CoreAttention, norms: tuple[Norm, Norm] | None) -> None:
        super().__init__()
        # In a tuple: as modules of this one their parameters would be listed twice.
        self._of = (core,)
        self._norms: tuple[Norm, ...] = norms or ()

    def forward(self, qkv: Tensor, rotation: Rotation | None, state: LayerState, inputs: StepInputs) -> Tensor:
        """Map [T, (h + 2 k) D] to [T, h D]."""
        (core,) = self._of
        shape, cosines, sines = core.shape, None, None
        if shape.rotary:
            assert rotation is not None, "the decoder has it"
            cosines, sines = rotation[2 * shape.rotation].squeeze(1), rotation[2 * shape.rotation + 1].squeeze(1)
        growth = None
        if shape.temperature is not None:
            assert rotation is not None, "the decoder has it"
            growth = rotation[shape.temperature].flatten()
        weights = [norm.weight for norm in self._norms if norm.weight is not None]
        queries = rotate_and_write(
            qkv,
            cosines,
            sines,
            (weights[0], weights[1]) if weights else None,
            self._norms[0].epsilon if weights else 0.0,
            state.keys,
            state.values,
            inputs.write_blocks,
            inputs.write_offsets,
            interleaved=shape.interleaved,
            offset=self._norms[0].offset if weights else 0.0,
            growth=growth,
        )
        scores = Scores(scale=shape.scale, soft_cap=shape.soft_cap, slopes=core.slopes, sinks=core.sinks)
        return inputs.attend(queries, state, scores).flatten(1)


class StackedAttention(nn.Module):
    """Attention of queries, keys and values that have yet to be put side by side."""

    def __init__(self, core: CoreAttention) -> None:
        super().__init__()
        self._attention = KernelAttention(core, None)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, *others: Any) -> Tensor:
        """Map [T, h D], [T, k D] and [T, k D] to [T, h D]."""
        return self._attention(torch.cat((query, key, value), dim=-1), *others)


class KernelExperts(nn.Module):
    """A mixture's experts: tokens are sorted by expert, and multiplied with their weights."""

    def __init__(self, experts: Experts) -> None:
        super().__init__()
        self._of = (experts,)
        self._into, self._down = (
            experts.products.get(name) or ExpertWeights(format="plain", values=experts.get_parameter(name).data)
            for name in ("into", "down")
        )

    def forward(self, hidden: Tensor, chosen: Tensor, strengths: Tensor) -> Tensor:
        """Map [T, H] to [T, H]; `chosen` and `strengths` [T, K] are the router's."""
        (experts,) = self._of
        rows = ExpertRows.of(chosen, len(experts.into))
        weighs_inputs = experts.config.weighs_inputs
        if weighs_inputs:
            own = hidden[rows.tokens] * strengths.flatten()[rows.places].unsqueeze(1)
            into = self._into(own, None, rows.tiles, experts.into_bias)
        else:
            into = self._into(hidden, rows.tokens, rows.tiles, experts.into_bias)
        made = torch.empty(len(rows.places), hidden.shape[1], dtype=hidden.dtype, device=hidden.device)
        made[rows.places] = self._down(experts.activate(into), None, rows.tiles, None)
        made = made.unflatten(0, chosen.shape)  # in the order of the router, so that sums do not depend on others
        output = (made if weighs_inputs else made * strengths.unsqueeze(2)).sum(1)
        return experts.finish(output, chosen, strengths)


class KernelNorm(nn.Module):
    """A norm, and the sum before it."""

    def __init__(self, norm: Norm) -> None:
        super().__init__()
        self._of = (norm,)

    def forward(self, hidden: Tensor, added: Tensor | None = None) -> Tensor:
        """Normalize [T, H], having added to it in place."""
        (norm,) = self._of
        if hidden.shape[-1] != norm.width or (norm.weight is not None and len(norm.weight) != norm.width):
            return norm(hidden if added is None else hidden.add_(added))
        return add_and_normalize(
            hidden, added, norm.weight, norm.bias, norm.epsilon, center=isinstance(norm, LayerNorm), offset=norm.offset
        )
