"""The eager execution: the decoder's own code, on any device."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plugtron.contracts.decoder import Decoder, HasFinalStates
from plugtron.contracts.execution import Execution
from plugtron.contracts.step import StepBatch, StepOutput
from plugtron.execution.final_states import why_no_final_states
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
        hidden, _ = self._hidden_states(batch, hidden)
        return self._logits(batch, hidden) if self._last else hidden

    def why_no_hidden_states(self, *, layers: bool = False) -> str:
        """Say what the decoder lacks."""
        del layers
        return why_no_final_states(self._decoder)

    @torch.inference_mode()
    def run_with_hidden_states(self, batch: StepBatch, hidden: Tensor | None = None) -> StepOutput:
        """Run a step of the last stage, as `run`; layers are counted from this stage's first."""
        assert isinstance(self._decoder, HasFinalStates)
        assert batch.hidden_index is not None
        hidden, kept = self._hidden_states(batch, hidden)
        final = self._decoder.final_states(hidden[batch.hidden_index]).float()
        kept[len(self._decoder.layers)] = final  # as other software has it: the last layer's states are the final ones
        layers = tuple([kept[layer] for layer in batch.hidden_layers])
        return StepOutput(self._logits(batch, hidden), final, layers)

    def _hidden_states(self, batch: StepBatch, hidden: Tensor | None) -> tuple[Tensor, dict[int, Tensor]]:
        """Return the hidden states [T, H] after the last layer, and those that are wanted, after each."""
        if hidden is None:
            hidden = self._decoder.embed(batch.tokens, batch.positions)
        rotation, wanted, kept = self._decoder.rotation(batch.positions), batch.hidden_layers, dict[int, Tensor]()
        for number, (layer, state) in enumerate(zip(self._decoder.layers, batch.memory.layers, strict=True)):
            if number in wanted:
                kept[number] = hidden[batch.hidden_index].float()
            hidden = layer(hidden, rotation, state, batch.memory)
        return hidden, kept

    def _logits(self, batch: StepBatch, hidden: Tensor) -> Tensor:
        chosen = hidden if batch.logit_index is None else hidden[batch.logit_index]
        return self._decoder.head(chosen).float()
