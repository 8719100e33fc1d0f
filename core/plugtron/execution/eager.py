"""The eager execution: the decoder's own code, on any device."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from plugtron.contracts.step import StepBatch
from plugtron.contracts.wrapper import Decoder
from plugtron.parallel.layers import Product, ShardedModule

__all__ = ["EagerExecution"]


class EagerExecution:
    """Runs a decoder, or a pipeline stage's share of one, layer by layer.

    Args:
        last: the decoder has the head, so that a step ends in logits.
        dtype: what hidden states are in.
    """

    def __init__(self, decoder: Decoder, *, last: bool, dtype: torch.dtype) -> None:
        self._decoder = decoder
        self._last = last
        self.hidden_dtype = dtype

    def extend(self, max_length: int) -> None:
        """Any length will do."""

    @property
    def weight_bytes(self) -> int:
        """Of everything but an embedding that is no head: of that a step reads a few rows."""
        return sum(held.nbytes for name, held in self._weights() if not name.startswith("embedding."))

    @property
    def layer_weights(self) -> int:
        """Those of the layers' matrices."""
        return sum(math.prod(held.shape) for name, held in self._weights() if name.startswith("stack."))

    def _weights(self) -> Iterator[tuple[str, nn.Parameter | Product]]:
        """All of them by every name that they have: a tied head has two."""
        assert isinstance(self._decoder, nn.Module)
        for name, module in self._decoder.named_modules(remove_duplicate=False):
            product = module.product if isinstance(module, ShardedModule) else None
            for own, parameter in module.named_parameters(recurse=False):
                yield f"{name}.{own}", product if product is not None and own == "weight" else parameter

    @torch.inference_mode()
    def run(self, batch: StepBatch, hidden: Tensor | None = None) -> Tensor:
        """Run a step from its tokens, or from the hidden states [T, H] of the stage before.

        Returns:
            This rank's logits [N, V / tp] in float32; before the last stage hidden states [T, H].
        """
        if hidden is None:
            hidden = self._decoder.embed(batch.tokens, batch.positions)
        rotation = self._decoder.rotation(batch.positions)
        for layer, state in zip(self._decoder.layers, batch.memory.layers, strict=True):
            hidden = layer(hidden, rotation, state, batch.memory)
        if not self._last:
            return hidden
        if batch.logit_index is not None:
            hidden = hidden[batch.logit_index]
        return self._decoder.head(hidden).float()
