"""The fields of a request that the controller itself consumes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from plugtron import standard_params

__all__ = ["BeamParams", "GenerationParams", "GuidanceParams"]

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
    "pooling",
    "normalize",
    "hidden_layers",
    "echo",
    "skip_special_tokens",
    "spaces_between_special_tokens",
    "include_stop_str_in_output",
)


class GenerationParams(standard_params(*_FIELDS)):
    """When a request ends, how its draws are seeded, and what is reported of them."""


class BeamParams(GenerationParams):
    """How the most likely answers are looked for."""

    beam_width: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="answers that are kept at every step; the n best of them are returned, 1 by default",
        json_schema_extra={"source": "transformers (num_beams)"},
    )
    length_penalty: float | None = Field(
        default=None,
        ge=-100,
        le=100,
        allow_inf_nan=False,
        description="answers are compared by their log probability divided by length ** length_penalty",
        json_schema_extra={"unset": 1.0, "needs": "beam_width", "source": "transformers"},
    )
    early_stopping: bool | Literal["never"] | None = Field(
        default=None,
        description="true: stop with beam_width answers; false: when no beam is better at its present length; never: "
        "at any length",
        json_schema_extra={"unset": False, "needs": "beam_width", "source": "transformers"},
    )


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
        json_schema_extra={"needs": "guidance_scale", "source": "transformers"},
    )
