"""The router of a mixture of experts: which of them a token goes to, and how strongly."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from plugtron.nn.config import ExpertsConfig
from plugtron.parallel.layers import Part, ShardedModule, parameter
from plugtron.parallel.runtime import Runtime

__all__ = ["Router"]


class Router(ShardedModule):
    """Scores experts by a linear layer and takes the best (arXiv:1701.06538). Every rank routes all tokens alike.

    Scores are float32 whatever the model runs in: two experts that are close must not change places by rounding.
    """

    def __init__(self, hidden_size: int, config: ExpertsConfig, runtime: Runtime) -> None:
        super().__init__()
        self.config = config
        self.weight = parameter(runtime, config.count, hidden_size)
        self.parts["weight"] = (Part(shape=(config.count, hidden_size)),)
        self.bias = parameter(runtime, config.count) if config.router_bias else None
        if config.router_bias:
            self.parts["bias"] = (Part(shape=(config.count,)),)
        self.choice_bias = parameter(runtime, config.count) if config.choice_bias else None
        if config.choice_bias:
            self.parts["choice_bias"] = (Part(shape=(config.count,)),)

    def forward(self, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """Map [T, H] to the chosen experts [T, K] int64 and their weights [T, K] in the model's dtype."""
        config = self.config
        logits = F.linear(hidden.float(), self.weight.float(), None if self.bias is None else self.bias.float())
        if config.score == "softmax_chosen":
            scores, chosen = self._best(logits)
            weights = scores.softmax(-1)
        else:
            scores = logits.sigmoid() if config.score == "sigmoid" else logits.softmax(-1)
            if self.choice_bias is not None:
                _, chosen = self._best(scores + self.choice_bias.float())
            else:
                # The order of logits is that of scores, of which several may be rounded to 1.
                _, chosen = self._best(logits if config.groups == 1 else scores)
            weights = scores.gather(1, chosen)
            if config.score == "softmax_renormalized" or (config.score == "sigmoid" and config.top_k > 1):
                weights = weights / (weights.sum(-1, keepdim=True) + 1e-20)
        return chosen, (weights * config.scale).to(hidden.dtype)

    def _best(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """The K best of [T, E], from the best groups alone where there are groups."""
        config = self.config
        if config.groups > 1:
            grouped = scores.unflatten(1, (config.groups, -1))
            strength = grouped.topk(config.top_k // config.top_groups, dim=-1).values.sum(-1)
            best = strength.topk(config.top_groups, dim=-1).indices
            kept = scores.new_zeros(strength.shape).scatter(1, best, 1).bool()
            scores = grouped.masked_fill(~kept.unsqueeze(-1), float("-inf")).flatten(1)
        return tuple(scores.topk(config.top_k, dim=-1))  # pyright: ignore[reportReturnType] - values and indices
