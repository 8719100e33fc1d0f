"""The eager execution: the decoder's own code, on any device."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from plugtron.contracts.step import StepBatch
from plugtron.contracts.wrapper import Decoder

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
        return sum(parameter.nbytes for name, parameter in self._parameters() if name != "embedding.weight")

    @property
    def layer_weights(self) -> int:
        """Those of the layers' matrices."""
        return sum(parameter.numel() for name, parameter in self._parameters() if name.startswith("stack."))

    def _parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """All of them by every name that they have: a tied head has two."""
        assert isinstance(self._decoder, nn.Module)
        return self._decoder.named_parameters(remove_duplicate=False)

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
