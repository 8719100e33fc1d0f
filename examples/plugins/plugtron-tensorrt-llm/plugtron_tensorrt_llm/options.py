"""Options of the engine, and the fields of a request that it consumes."""

from __future__ import annotations

from pydantic import Field

from plugtron import Options, standard_params
from plugtron.engine import BackendParams

__all__ = ["TensorRTOptions", "TensorRTParams"]


class TensorRTOptions(Options):
    """What TensorRT-LLM's `LLM` is made with."""

    max_batch_size: int = Field(default=64, ge=1, le=4096, description="sequences at once")
    max_sequence_length: int | None = Field(
        default=None, ge=2, description="prompt and answer together; by default what the model allows, up to 2048"
    )
    tensor_parallel: int = Field(default=1, ge=1, description="GPUs that share each layer")
    pipeline_parallel: int = Field(default=1, ge=1, description="groups of GPUs with some of the layers each")


_DRAWN_BY = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")


class TensorRTParams(BackendParams, standard_params(*_DRAWN_BY)):
    """What TensorRT-LLM draws by."""
