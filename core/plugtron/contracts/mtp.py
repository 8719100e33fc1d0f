"""Layers of multi-token prediction (MTP): what a checkpoint has to propose tokens further ahead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

    from plugtron.contracts.context import InferenceContext
    from plugtron.contracts.decoder import ModelInfo
    from plugtron.contracts.step import StepBatch, StepOutput, StepPlan
    from plugtron.parallel.runtime import Runtime

__all__ = ["MTPModule"]


class MTPModule(Protocol):
    """The MTP module of one depth (DeepSeek-V3, arXiv:2412.19437, section 2.2), with memory of its own.

    At a position i the module of depth k, counted from 1, reads a hidden state and the token at i + k, and proposes the
    one at i + k + 1. The hidden state is the model's final one at i for the first module, and that of the module before
    for the others. A `DecoderWrapper` is most of one.

    Attributes:
        info: the model's, but for `states`: what the module keeps of each position.
    """

    runtime: Runtime
    info: ModelInfo

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """Load this rank's weights, as `ModelWrapper.preload`."""
        ...

    def prep_model_for_inference(self, context: InferenceContext) -> None:
        """Load this rank's weights and be ready for steps over the module's own context."""
        ...

    def release_memory(self, *, weights: bool) -> None:
        """Let go of the context's memory, and of the weights, as `ModelWrapper.release_memory`."""
        ...

    def prep_inference_input(self, plan: StepPlan, context: InferenceContext) -> StepBatch:
        """Lay a plan out on the device, whose rows have the tokens that the module reads."""
        ...

    def predict(self, batch: StepBatch, positions: torch.Tensor, hidden: torch.Tensor) -> StepOutput:
        """Run a step whose plan has `hidden`.

        Args:
            positions: [T] int64, where in the text the tokens of the batch are, which may be ahead of their places in
                memory.
            hidden: [T, H] float32, the hidden states that are read beside them.

        Returns:
            Logits and hidden states, as `ModelWrapper.run_with_hidden_states`.
        """
        ...
