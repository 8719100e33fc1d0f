"""What plugins implement and what they are handed. Importing any of this needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription, TensorInfo
    from plugtron.contracts.controller import PendingStep, TextGenerationController
    from plugtron.contracts.decoder import AttentionState, Decoder, ModelInfo
    from plugtron.contracts.engine import Engine
    from plugtron.contracts.parts import Parts
    from plugtron.contracts.sampler import Candidates, Sampler
    from plugtron.contracts.step import ScheduledSequence, StepBatch, StepPlan, StepResult
    from plugtron.contracts.tokenizer import Detokenizer, Tokenizer
    from plugtron.contracts.weights import Section, Weight, WeightMap
    from plugtron.contracts.wrapper import Export, ModelWrapper
    from plugtron.plugin.api_version import API_VERSION

__all__ = [
    "API_VERSION",
    "AttentionState",
    "Candidates",
    "CheckpointReader",
    "Decoder",
    "Detokenizer",
    "Engine",
    "Export",
    "ModelDescription",
    "ModelInfo",
    "ModelWrapper",
    "Parts",
    "PendingStep",
    "Sampler",
    "ScheduledSequence",
    "Section",
    "StepBatch",
    "StepPlan",
    "StepResult",
    "TensorInfo",
    "TextGenerationController",
    "Tokenizer",
    "Weight",
    "WeightMap",
]

#: Checking a spec needs a few of these, listing plugins none.
_HOMES = {
    "API_VERSION": "plugtron.plugin.api_version",
    "AttentionState": "plugtron.contracts.decoder",
    "Candidates": "plugtron.contracts.sampler",
    "CheckpointReader": "plugtron.contracts.checkpoint",
    "Decoder": "plugtron.contracts.decoder",
    "Detokenizer": "plugtron.contracts.tokenizer",
    "Engine": "plugtron.contracts.engine",
    "Export": "plugtron.contracts.wrapper",
    "ModelDescription": "plugtron.contracts.checkpoint",
    "ModelInfo": "plugtron.contracts.decoder",
    "ModelWrapper": "plugtron.contracts.wrapper",
    "Parts": "plugtron.contracts.parts",
    "PendingStep": "plugtron.contracts.controller",
    "ScheduledSequence": "plugtron.contracts.step",
    "Sampler": "plugtron.contracts.sampler",
    "Section": "plugtron.contracts.weights",
    "StepBatch": "plugtron.contracts.step",
    "StepPlan": "plugtron.contracts.step",
    "StepResult": "plugtron.contracts.step",
    "TensorInfo": "plugtron.contracts.checkpoint",
    "TextGenerationController": "plugtron.contracts.controller",
    "Tokenizer": "plugtron.contracts.tokenizer",
    "Weight": "plugtron.contracts.weights",
    "WeightMap": "plugtron.contracts.weights",
}
__getattr__ = loader(__name__, _HOMES)
