"""Options of the engine, and the fields of a request that it consumes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from plugtron import Options, standard_params
from plugtron.engine import BackendParams

__all__ = ["TransformersOptions", "TransformersParams"]


class TransformersOptions(Options):
    """How much is taken on at once, and what transformers is told."""

    max_batch_size: int = Field(default=8, ge=1, le=256, description="sequences at once")
    max_sequence_length: int | None = Field(
        default=None, ge=2, description="prompt and answer together; by default what the model allows, up to 2048"
    )
    attention: Literal["auto", "eager", "sdpa"] = Field(
        default="auto", description="transformers' attn_implementation; auto: what it takes by itself"
    )
    trust_remote_code: bool = Field(default=False, description="run Python code that the checkpoint brings along")


_DRAWN_BY = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty", "logprobs", "logprobs_mode")


class TransformersParams(BackendParams, standard_params(*_DRAWN_BY)):
    """What transformers' logits processors do."""
