"""The fields of a request that the controller itself consumes. Their ranges stand in SamplingParams."""

from __future__ import annotations

from plugtron import Params

__all__ = ["GenerationParams"]


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
