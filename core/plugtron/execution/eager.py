"""The eager execution: the decoder's own code, on any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plugtron.contracts.decoder import Decoder
from plugtron.contracts.execution import Execution
from plugtron.contracts.step import StepBatch
from plugtron.execution.weight_stats import layer_weights, weight_bytes

__all__ = ["EagerExecution"]


class EagerExecution(Execution):
    """Runs a decoder, or a pipeline stage's share of one, layer by layer.

    Args:
        last: the decoder has the head, so that a step ends in logits.
        dtype: what hidden states are in.
    """

    def __init__(self, decoder: Decoder, *, last: bool, dtype: torch.dtype) -> None:
        self._decoder = decoder
        self._last = last
        self.hidden_dtype = dtype

    @property
    def weight_bytes(self) -> int:
        """Of everything but an embedding that is no head."""
        assert isinstance(self._decoder, nn.Module)
        return weight_bytes(self._modules(), self._decoder)

    @property
    def layer_weights(self) -> int:
        """Those of the layers' matrices."""
        return layer_weights(self._modules())

    def _modules(self) -> list[nn.Module]:
        return [layer for layer in self._decoder.layers if isinstance(layer, nn.Module)]

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
