"""Model wrappers: from tokens to logits. An author says what the model is; memory and ranks are not their business."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plugtron.contracts.execution import ModelOptions
from plugtron.contracts.weights import WeightMap
from plugtron.errors import PluginError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from plugtron.contracts.checkpoint import CheckpointReader
    from plugtron.contracts.context import InferenceContext
    from plugtron.contracts.decoder import ModelInfo
    from plugtron.contracts.memory import KVOrigin
    from plugtron.contracts.mtp import MTPModule
    from plugtron.contracts.step import StepBatch, StepOutput, StepPlan
    from plugtron.parallel.runtime import Runtime

__all__ = ["Export", "ModelWrapper"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A model as a Hugging Face folder: what config.json says, and where the parameters are written.

    `rows` cuts tensors to as many: the padding of a vocabulary is not written.
    """

    configuration: Mapping[str, Any]
    weights: WeightMap
    rows: Mapping[str, int]


class ModelWrapper(ABC):
    """Runs one model of a family.

    For a decoder all of it comes from `plugtron.execution.DecoderWrapper`; a family says what the decoder looks like.
    """

    runtime: Runtime
    checkpoint: CheckpointReader
    info: ModelInfo
    options: ModelOptions = ModelOptions()

    def agree(self) -> None:
        """Agree with the wrappers of the other ranks on what must be the same. All ranks call it together, once.

        It comes before `prep_model_for_inference`, in which one rank may fail alone and so none may wait for another.
        """

    def preload(self, rows: int, tokens: int, longest: int) -> int | None:
        """Load this rank's weights ahead of `prep_model_for_inference`, so that it shows what memory they leave.

        One rank may fail in it alone.

        Returns:
            How many bytes steps of at most `rows` rows and `tokens` tokens work in besides, over sequences of at most
            `longest`; None where that is not known, and perhaps nothing loaded.
        """
        del rows, tokens, longest
        return None

    @abstractmethod
    def prep_model_for_inference(self, context: InferenceContext) -> None:
        """Load this rank's weights and make the execution ready."""

    @abstractmethod
    def prep_inference_input(self, plan: StepPlan, context: InferenceContext) -> StepBatch:
        """Lay a plan out on the device."""

    @abstractmethod
    def run_one_forward_step(self, batch: StepBatch) -> torch.Tensor | None:
        """Return this rank's logits [N, V / tp] in float32; None before the last pipeline stage."""

    def update_weights(self, path: Path) -> None:
        """Read the weights of another checkpoint of the same model, and run steps with them from now on. Optional.

        All ranks of the model call it together, between two steps. Where one fails, all do, and go on as before.

        Raises:
            CheckpointError: it is broken, or of another model.
            PluginError: this wrapper cannot do it.
        """
        del path
        raise PluginError(f"{type(self).__name__} keeps the weights that it has")

    def kv_origin(self) -> KVOrigin | None:
        """Say what this rank's keys and values depend on, for keeping them on disk. Optional.

        It is asked before weights are read: of files that change meanwhile it says what they were.

        Returns:
            None, as here: that is not known, and nothing is kept.
        """
        return None

    def release_memory(self, *, weights: bool) -> None:
        """Let go of the context's memory, and of the weights, until the next `prep_model_for_inference`. Optional.

        Raises:
            PluginError: this wrapper cannot do it; nothing has been released.
        """
        del weights
        raise PluginError(f"{type(self).__name__} keeps its memory")

    def why_no_hidden_states(self, *, layers: bool = False) -> str:
        """Say why `run_with_hidden_states` cannot be called, once the model is ready; "" when it can.

        Args:
            layers: for plans with `hidden_layers`.
        """
        del layers
        return f"{type(self).__name__} gives logits alone"

    def run_with_hidden_states(self, batch: StepBatch) -> StepOutput:
        """Run a step whose plan has `hidden`: as `run_one_forward_step`, with final hidden states beside the logits."""
        del batch
        raise PluginError(f"{type(self).__name__} gives no hidden states: a controller asks why_no_hidden_states first")

    def mtp_modules(self, count: int) -> tuple[MTPModule, ...]:
        """Return the first `count` modules of multi-token prediction that the checkpoint has, or all of fewer.

        Their weights are not read yet. The wrapper keeps them: it agrees on them with other ranks, and updates their
        weights with its own. It is asked once, before `agree`.

        Returns:
            Those of each depth, in order; where there are fewer than `count` the last one is run again on what it has
            made. Empty, as here: the checkpoint has none, or this wrapper does not know of any.

        Raises:
            CheckpointError: tensors of theirs are missing, or of another shape.
        """
        del count
        return ()
