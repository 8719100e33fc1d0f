"""What plugins implement and what they are handed. Importing any of this needs no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.contracts.attention import AttentionBackend, Scores
    from plugtron.contracts.checkpoint import CheckpointReader, ModelDescription, TensorInfo
    from plugtron.contracts.context import InferenceContext
    from plugtron.contracts.control import Control
    from plugtron.contracts.controller import PendingStep, TextGenerationController
    from plugtron.contracts.decoder import AttentionState, Decoder, HasFinalStates, Layer, ModelInfo, Rotation
    from plugtron.contracts.engine import Engine, Steps
    from plugtron.contracts.execution import DecoderSource, Execution, ExecutionBackend, ModelOptions, StoredBlocks
    from plugtron.contracts.memory import AttentionMetadata, KVOrigin, LayerState, Span
    from plugtron.contracts.mtp import MTPModule
    from plugtron.contracts.parser import (
        AnswerDelta,
        ArgumentsDelta,
        CallBegun,
        ContentDelta,
        ParsedAnswer,
        Parser,
        ReasoningDelta,
        ToolCall,
        parse_answer,
    )
    from plugtron.contracts.parts import Parts
    from plugtron.contracts.routes import Routes, Service
    from plugtron.contracts.row_stage import RowOp, RowStage
    from plugtron.contracts.sampler import Candidates, Sampler
    from plugtron.contracts.stats import EngineStats
    from plugtron.contracts.step import Columns, ScheduledSequence, StepBatch, StepOutput, StepPlan, StepResult
    from plugtron.contracts.tokenizer import Detokenizer, Tokenizer
    from plugtron.contracts.weights import Section, Weight, WeightMap
    from plugtron.contracts.wrapper import Export, ModelWrapper
    from plugtron.parallel.runtime import Runtime
    from plugtron.plugin.api_version import API_VERSION
    from plugtron.quantization.float8 import Float8Weight
    from plugtron.quantization.method import HeldWeight, QuantizationMethod, WeightPart
    from plugtron.quantization.packed_weight import PackedWeight
    from plugtron.quantization.weight import QuantizedWeight, ScaleCodes
    from plugtron.utils.transfers import HostCopy

__all__ = [
    "API_VERSION",
    "AnswerDelta",
    "ArgumentsDelta",
    "AttentionBackend",
    "AttentionMetadata",
    "AttentionState",
    "CallBegun",
    "Candidates",
    "CheckpointReader",
    "Columns",
    "ContentDelta",
    "Control",
    "Decoder",
    "DecoderSource",
    "Detokenizer",
    "Engine",
    "EngineStats",
    "Execution",
    "ExecutionBackend",
    "Export",
    "Float8Weight",
    "HasFinalStates",
    "HeldWeight",
    "HostCopy",
    "InferenceContext",
    "KVOrigin",
    "Layer",
    "LayerState",
    "MTPModule",
    "ModelDescription",
    "ModelInfo",
    "ModelOptions",
    "ModelWrapper",
    "PackedWeight",
    "ParsedAnswer",
    "Parser",
    "Parts",
    "PendingStep",
    "QuantizationMethod",
    "QuantizedWeight",
    "ReasoningDelta",
    "Rotation",
    "Routes",
    "RowOp",
    "RowStage",
    "Runtime",
    "Sampler",
    "ScaleCodes",
    "ScheduledSequence",
    "Scores",
    "Section",
    "Service",
    "Span",
    "StepBatch",
    "StepOutput",
    "StepPlan",
    "StepResult",
    "Steps",
    "StoredBlocks",
    "TensorInfo",
    "TextGenerationController",
    "Tokenizer",
    "ToolCall",
    "Weight",
    "WeightMap",
    "WeightPart",
    "parse_answer",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "API_VERSION": "plugtron.plugin.api_version",
    "AnswerDelta": "plugtron.contracts.parser",
    "ArgumentsDelta": "plugtron.contracts.parser",
    "AttentionBackend": "plugtron.contracts.attention",
    "AttentionMetadata": "plugtron.contracts.memory",
    "AttentionState": "plugtron.contracts.decoder",
    "CallBegun": "plugtron.contracts.parser",
    "Candidates": "plugtron.contracts.sampler",
    "CheckpointReader": "plugtron.contracts.checkpoint",
    "Columns": "plugtron.contracts.step",
    "ContentDelta": "plugtron.contracts.parser",
    "Control": "plugtron.contracts.control",
    "Decoder": "plugtron.contracts.decoder",
    "DecoderSource": "plugtron.contracts.execution",
    "Detokenizer": "plugtron.contracts.tokenizer",
    "Engine": "plugtron.contracts.engine",
    "EngineStats": "plugtron.contracts.stats",
    "Execution": "plugtron.contracts.execution",
    "ExecutionBackend": "plugtron.contracts.execution",
    "Export": "plugtron.contracts.wrapper",
    "Float8Weight": "plugtron.quantization.float8",
    "HasFinalStates": "plugtron.contracts.decoder",
    "HeldWeight": "plugtron.quantization.method",
    "HostCopy": "plugtron.utils.transfers",
    "InferenceContext": "plugtron.contracts.context",
    "KVOrigin": "plugtron.contracts.memory",
    "Layer": "plugtron.contracts.decoder",
    "LayerState": "plugtron.contracts.memory",
    "MTPModule": "plugtron.contracts.mtp",
    "ModelDescription": "plugtron.contracts.checkpoint",
    "ModelInfo": "plugtron.contracts.decoder",
    "ModelOptions": "plugtron.contracts.execution",
    "ModelWrapper": "plugtron.contracts.wrapper",
    "PackedWeight": "plugtron.quantization.packed_weight",
    "ParsedAnswer": "plugtron.contracts.parser",
    "Parser": "plugtron.contracts.parser",
    "Parts": "plugtron.contracts.parts",
    "PendingStep": "plugtron.contracts.controller",
    "QuantizationMethod": "plugtron.quantization.method",
    "QuantizedWeight": "plugtron.quantization.weight",
    "ReasoningDelta": "plugtron.contracts.parser",
    "Rotation": "plugtron.contracts.decoder",
    "Routes": "plugtron.contracts.routes",
    "RowOp": "plugtron.contracts.row_stage",
    "RowStage": "plugtron.contracts.row_stage",
    "Runtime": "plugtron.parallel.runtime",
    "Sampler": "plugtron.contracts.sampler",
    "ScaleCodes": "plugtron.quantization.weight",
    "ScheduledSequence": "plugtron.contracts.step",
    "Scores": "plugtron.contracts.attention",
    "Section": "plugtron.contracts.weights",
    "Service": "plugtron.contracts.routes",
    "Span": "plugtron.contracts.memory",
    "StepBatch": "plugtron.contracts.step",
    "StepOutput": "plugtron.contracts.step",
    "StepPlan": "plugtron.contracts.step",
    "StepResult": "plugtron.contracts.step",
    "Steps": "plugtron.contracts.engine",
    "StoredBlocks": "plugtron.contracts.execution",
    "TensorInfo": "plugtron.contracts.checkpoint",
    "TextGenerationController": "plugtron.contracts.controller",
    "Tokenizer": "plugtron.contracts.tokenizer",
    "ToolCall": "plugtron.contracts.parser",
    "Weight": "plugtron.contracts.weights",
    "WeightMap": "plugtron.contracts.weights",
    "WeightPart": "plugtron.quantization.method",
    "parse_answer": "plugtron.contracts.parser",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
