"""The fields of a request that the controller itself consumes. Their ranges stand in SamplingParams."""

from __future__ import annotations

from pydantic import Field

from plugtron import Params

__all__ = ["GenerationParams", "GuidanceParams"]


class GenerationParams(Params):
    """When a request ends, how its draws are seeded, and what is reported of them."""

    stop: list[str] | None = None
    stop_token_ids: list[int] | None = None
    ignore_eos: bool | None = None
    max_tokens: int | None = None
    seed: int | None = None
    n: int | None = None
    logprobs: int | None = None
    logprobs_mode: str | None = None
    prompt_logprobs: int | None = None
    prompt_logprobs_start: int | None = None
    echo: bool | None = None
    skip_special_tokens: bool | None = None
    spaces_between_special_tokens: bool | None = None
    include_stop_str_in_output: bool | None = None


class GuidanceParams(GenerationParams):
    """How far, and away from what."""

    guidance_scale: float | None = Field(
        default=None,
        ge=0,
        le=100,
        allow_inf_nan=False,
        description="log probabilities become n + scale * (p - n), n being those after negative_prompt; 1: as they are",
        json_schema_extra={"source": "arXiv:2306.17806"},
    )
    negative_prompt: str | list[int] | None = Field(
        default=None,
        min_length=1,
        description="what to lead away from, as a text or token ids; by default the last token of the prompt",
    )
