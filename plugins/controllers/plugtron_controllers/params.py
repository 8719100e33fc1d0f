"""The fields of a request that the controller itself consumes."""

from __future__ import annotations

from plugtron import standard_params

__all__ = ["GenerationParams"]

_FIELDS = (
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "max_tokens",
    "truncate_prompt_tokens",
    "seed",
    "n",
    "logprobs",
    "logprobs_mode",
    "prompt_logprobs",
    "prompt_logprobs_start",
    "echo",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "include_stop_str_in_output",
)


class GenerationParams(standard_params(*_FIELDS)):
    """When a request ends, how its draws are seeded, and what is reported of them."""
