"""Options of the engine, and the fields of a request that it consumes."""

from __future__ import annotations

from pydantic import Field

from plugtron import Options, standard_params
from plugtron.engine import BackendParams

__all__ = ["LlamaCppOptions", "LlamaCppParams"]


class LlamaCppOptions(Options):
    """How much is taken on at once, and what llama.cpp is told."""

    max_batch_size: int = Field(default=4, ge=1, le=256, description="sequences at once")
    max_sequence_length: int | None = Field(
        default=None, ge=2, description="prompt and answer together; by default what the model allows, up to 2048"
    )
    tokens_per_call: int = Field(
        default=8, ge=1, le=512, description="tokens that a sequence is asked for at a time: 1 streams every token"
    )
    gpu_layers: int = Field(default=0, ge=0, description="layers on a GPU, for wheels that are built for one")


_DRAWN_BY = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "logit_bias", "logprobs", "logprobs_mode")


class LlamaCppParams(BackendParams, standard_params(*_DRAWN_BY)):
    """What llama.cpp's samplers do."""
