"""What plugins implement and what they are handed. Importing any of this needs no torch."""

from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription, TensorInfo
from plugtron.contracts.controller import PendingStep, TextGenerationController
from plugtron.contracts.detokenizer import Detokenizer
from plugtron.contracts.engine import Engine
from plugtron.contracts.parts import Parts
from plugtron.contracts.sampler import Candidates, Sampler
from plugtron.contracts.step import Row, RowResult, StepBatch, StepPlan, StepResult
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.contracts.version import API_VERSION
from plugtron.contracts.weights import Weight, WeightMap
from plugtron.contracts.wrapper import AttentionState, Decoder, ModelInfo, ModelWrapper

__all__ = [
    "API_VERSION",
    "AttentionState",
    "Candidates",
    "CheckpointReader",
    "Decoder",
    "Detokenizer",
    "Engine",
    "ModelDescription",
    "ModelInfo",
    "ModelWrapper",
    "Parts",
    "PendingStep",
    "Row",
    "RowResult",
    "Sampler",
    "StepBatch",
    "StepPlan",
    "StepResult",
    "TensorInfo",
    "TextGenerationController",
    "Tokenizer",
    "Weight",
    "WeightMap",
]
