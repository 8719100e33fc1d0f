"""Model wrappers: from tokens to logits. An author says what the model is; memory and ranks are not their business."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from plugtron.contracts.execution import ModelOptions
from plugtron.contracts.weights import WeightMap
from plugtron.errors import CheckpointError

if TYPE_CHECKING:
    import torch

    from plugtron.contracts.checkpoint import CheckpointReader
    from plugtron.contracts.context import InferenceContext
    from plugtron.contracts.decoder import Decoder, ModelInfo
    from plugtron.contracts.step import StepBatch, StepPlan
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

    An author writes `info`, `build` and `weight_map`; the rest is the same for every family and comes
    from `plugtron.execution.wrapper.DecoderWrapper`.
    """

    runtime: Runtime
    checkpoint: CheckpointReader
    info: ModelInfo
    options: ModelOptions = ModelOptions()

    @abstractmethod
    def build(self, layers: range) -> Decoder:
        """Return the decoder with these layers, its parameters allocated on the runtime's device and not yet read.

        The embedding belongs to the first layer and the head to the last: pipeline stages have some of the layers.
        """

    @abstractmethod
    def weight_map(self, format: str) -> WeightMap:  # noqa: A002 - the field's word for it
        """Say where the parameters stand in a checkpoint of `format`."""

    def export(self) -> Export:
        """Say how the model is written as a Hugging Face folder. Only for wrappers that `plugtron convert` can use.

        Raises:
            CheckpointError: this wrapper has no such form.
        """
        raise CheckpointError(f"{type(self).__name__} cannot be converted")

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
