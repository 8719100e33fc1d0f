"""Parameters of the stages that look at what has been before."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from plugtron import Params

__all__ = ["DryParams", "EncoderPenaltyParams", "NoRepeatNgramParams"]

_DRY = "text-generation-webui (DRY), llama.cpp"

Breaker = Annotated[str, Field(min_length=1, max_length=64)]


class NoRepeatNgramParams(Params):
    """Against repeating runs of tokens."""

    no_repeat_ngram_size: int | None = Field(
        default=None,
        ge=0,
        lt=2**31,
        description="no run of so many tokens comes twice in prompt and answer; 0: any may",
        json_schema_extra={"unset": 0, "source": "transformers"},
    )
    encoder_no_repeat_ngram_size: int | None = Field(
        default=None,
        ge=0,
        lt=2**31,
        description="no run of so many tokens of the prompt comes in the answer; 0: any may",
        json_schema_extra={"unset": 0, "source": "transformers"},
    )


class EncoderPenaltyParams(Params):
    """Against what the prompt does not have."""

    encoder_repetition_penalty: float | None = Field(
        default=None,
        ge=0.001,
        le=1000,
        description="logits of ids in the prompt are multiplied by it if positive, else divided; 1: as they are",
        json_schema_extra={"unset": 1.0, "source": "transformers"},
    )


class DryParams(Params):
    """Against going on as before: the longer the repetition that a token would continue, the more it is penalized."""

    dry_multiplier: float | None = Field(
        default=None,
        ge=0,
        le=1e3,
        description="what a token that would continue a repetition of n tokens, at least dry_allowed_length, is "
        "penalized with: dry_multiplier * dry_base ** (n - dry_allowed_length); 0: nothing",
        json_schema_extra={"unset": 0.0, "source": _DRY},
    )
    dry_base: float | None = Field(
        default=None,
        ge=1,
        le=1e3,
        description="how fast the penalty grows with the repetition",
        json_schema_extra={"unset": 1.75, "source": _DRY, "needs": "dry_multiplier"},
    )
    dry_allowed_length: int | None = Field(
        default=None,
        ge=1,
        lt=2**31,
        description="shorter repetitions cost nothing",
        json_schema_extra={"unset": 2, "source": _DRY, "needs": "dry_multiplier"},
    )
    dry_sequence_breakers: list[Breaker] | None = Field(
        default=None,
        max_length=64,
        description="no repetition goes over a token whose text has one of these in it, and none of them is penalized",
        json_schema_extra={"unset": ["\n", ":", '"', "*"], "source": _DRY, "needs": "dry_multiplier"},
    )
    dry_range: int | None = Field(
        default=None,
        ge=-1,
        lt=2**31,
        description="only the last k tokens of prompt and answer are looked at; 0 and -1: all",
        json_schema_extra={
            "unset": 0,
            "source": "exllamav2, llama.cpp (dry_penalty_last_n)",
            "needs": "dry_multiplier",
        },
    )
