"""A layer of multi-token prediction as a decoder: what makes its input, its transformer layer, and the head."""

from __future__ import annotations

import torch
from torch import Tensor

from plugtron.contracts import Runtime
from plugtron.nn import DecoderConfig, RowParallelLinear, TransformerDecoder, make_norm

__all__ = ["MTPDecoder"]


class MTPDecoder(TransformerDecoder):
    """What Megatron Core calls a MultiTokenPredictionLayer, with the model's embedding before and its head behind.

    Executions run the transformer layer and the head as they run the last stage of a pipeline: it is the last of the
    configuration's layers. What makes its input belongs where the first layer begins, which nobody has.

    Source: DeepSeek-V3 (arXiv:2412.19437, section 2.2); megatron/core/transformer/multi_token_prediction.py.
    """

    def __init__(self, config: DecoderConfig, layers: range, runtime: Runtime) -> None:
        super().__init__(config, layers, runtime)
        width, first = config.hidden_size, layers.start == 0
        self.enorm = make_norm(config, width, runtime) if first else None
        self.hnorm = make_norm(config, width, runtime) if first else None
        projection = RowParallelLinear(2 * width, width, runtime, what="inputs of eh_proj") if first else None
        self.eh_proj = projection
        share = 2 * width // runtime.tensor.size
        self._own = slice(runtime.tensor.rank * share, (runtime.tensor.rank + 1) * share)

    def combine(self, tokens: Tensor, positions: Tensor, hidden: Tensor) -> Tensor:
        """Map ids and their positions [T], and hidden states [T, H], to what the transformer layer reads, [T, H]."""
        assert self.enorm is not None, "only where the first layer begins"
        assert self.hnorm is not None
        assert self.eh_proj is not None
        embedded = self.embed(tokens, positions)
        both = torch.cat((self.enorm(embedded), self.hnorm(hidden.to(embedded.dtype))), dim=1)
        return self.eh_proj(both[:, self._own])
