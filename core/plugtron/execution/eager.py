"""The eager execution: the decoder's own code, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from plugtron.contracts.step import StepBatch
from plugtron.contracts.wrapper import Decoder

__all__ = ["EagerExecution"]


class EagerExecution:
    """Runs a decoder layer by layer."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    @torch.inference_mode()
    def run(self, batch: StepBatch) -> Tensor:
        """Return this rank's logits [N, V / tp] in float32."""
        hidden = self._decoder.embed(batch.tokens)
        rotation = self._decoder.rotation(batch.positions)
        for layer, state in zip(self._decoder.layers, batch.memory.layers, strict=True):
            hidden = layer(hidden, rotation, state, batch.memory)
        if batch.logit_index is not None:
            hidden = hidden[batch.logit_index]
        return self._decoder.head(hidden).float()
