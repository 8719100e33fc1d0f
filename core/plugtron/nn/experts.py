"""A mixture of experts in place of a layer's MLP: a router sends each token to a few of them."""

from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from plugtron.nn.activations import Activation
from plugtron.nn.config import DecoderConfig, ExpertsConfig
from plugtron.nn.mlp import make_mlp
from plugtron.nn.router import Router
from plugtron.parallel.layers import Part, ReplicatedLinear, ShardedModule, divide, parameter
from plugtron.parallel.runtime import Runtime

__all__ = ["ExpertMethod", "Experts", "MixtureOfExperts"]


class ExpertMethod(Protocol):
    """Weights [E, O, I] that are held in a form of their own, which knows how to multiply with them."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """E, O and I."""
        ...

    @property
    def nbytes(self) -> int:
        """What they take."""
        ...

    def __call__(self, x: Tensor, rows: Tensor | None, tiles: Tensor, bias: Tensor | None) -> Tensor:
        """Multiply each row with its expert's weight; see plugtron.kernels.triton.expert_linear."""
        ...


class Experts(ShardedModule):
    """The experts' weights, each shared out over the ranks as an MLP's are.

    Shapes: E experts, F their width, H hidden: `into` [E, F / tp, H], or [E, 2 F / tp, H] with gate and up stacked;
    `down` [E, H, F / tp]; biases, if any, [E, F / tp] or [E, 2 F / tp], and [E, H].

    `products`: what multiplies in place of `into` and `down`, by name, where those are held otherwise.
    """

    def __init__(self, config: DecoderConfig, experts: ExpertsConfig, runtime: Runtime) -> None:
        super().__init__()
        self._group = runtime.tensor
        self.activation = Activation(config.activation)
        self.gated = config.gated
        self.config = experts
        self.products: dict[str, ExpertMethod] = {}
        share = divide("expert channels", experts.size, runtime)
        mine = slice(runtime.tensor.rank * share, (runtime.tensor.rank + 1) * share)
        stacked = 2 if config.gated else 1
        hidden, count = config.hidden_size, experts.count
        self.into = parameter(runtime, count, stacked * share, hidden)
        self.down = parameter(runtime, count, hidden, share)
        rows = [
            (slice(expert, expert + 1), slice(part * share, (part + 1) * share))
            for expert in range(count)
            for part in range(stacked)
        ]
        self.parts["into"] = tuple(Part(shape=(experts.size, hidden), source=(mine,), target=target) for target in rows)
        self.parts["down"] = tuple(
            Part(shape=(hidden, experts.size), source=(slice(None), mine), target=(slice(expert, expert + 1),))
            for expert in range(count)
        )
        self.into_bias = parameter(runtime, count, stacked * share) if config.mlp_bias else None
        self.down_bias = parameter(runtime, count, hidden) if config.mlp_bias else None
        if config.mlp_bias:
            self.parts["into_bias"] = tuple(
                Part(shape=(experts.size,), source=(mine,), target=target) for target in rows
            )
            self.parts["down_bias"] = tuple(
                Part(shape=(hidden,), target=(slice(expert, expert + 1),)) for expert in range(count)
            )

    def forward(self, hidden: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Map [T, H] to [T, H]; `chosen` and `weights` [T, K] say which experts each token sees, and how strongly."""
        output = torch.zeros_like(hidden)
        for expert in chosen.unique().tolist():
            tokens, place = (chosen == expert).nonzero(as_tuple=True)
            own, strength = hidden[tokens], weights[tokens, place].unsqueeze(1)
            if self.config.weighs_inputs:
                made = F.linear(self._inner(own * strength, expert), self.down[expert])
            else:
                made = F.linear(self._inner(own, expert), self.down[expert]) * strength
            output.index_add_(0, tokens, made)
        return self.finish(output, chosen, weights)

    def finish(self, output: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        """Sum up over the ranks what experts have made of tokens, [T, H], and add their biases."""
        output = self._group.all_reduce(output)
        if self.down_bias is not None:
            biases = self.down_bias[chosen]
            output = output + (biases if self.config.weighs_inputs else biases * weights.unsqueeze(2)).sum(1)
        return output

    def _inner(self, hidden: Tensor, expert: int) -> Tensor:
        """Map the tokens [t, H] of one expert to its channels [t, F / tp]."""
        bias = None if self.into_bias is None else self.into_bias[expert]
        return self.activate(F.linear(hidden, self.into[expert], bias))

    def activate(self, into: Tensor) -> Tensor:
        """Map what experts' first products come to, gate and up side by side, to channels [t, F / tp]."""
        if not self.gated:
            return self.activation(into)
        gate, up = into.chunk(2, dim=-1)
        if (limit := self.config.limit) is not None:
            gate, up = gate.clamp(max=limit), up.clamp(-limit, limit)
        return self.activation(gate) * (up + self.config.up_offset)


class MixtureOfExperts(nn.Module):
    """Router and experts, and beside them an expert that sees every token, if the model has one."""

    def __init__(self, config: DecoderConfig, runtime: Runtime) -> None:
        super().__init__()
        assert config.experts is not None
        experts = config.experts
        self.router = Router(config.hidden_size, experts, runtime)
        self.experts = Experts(config, experts, runtime)
        self.shared = make_mlp(config, experts.shared_size, runtime) if experts.shared_size else None
        self.shared_gate = ReplicatedLinear(config.hidden_size, 1, runtime) if experts.shared_gate else None

    def forward(self, hidden: Tensor) -> Tensor:
        """Map [T, H] to [T, H]."""
        chosen, strengths = self.router(hidden)
        output = self.experts(hidden, chosen, strengths)
        if self.shared is None:
            return output
        shared = self.shared(hidden)
        return output + (shared if self.shared_gate is None else shared * self.shared_gate(hidden).sigmoid())
