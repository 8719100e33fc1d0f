"""The fields of a request that each built-in sampler consumes. Their ranges stand in SamplingParams."""

from __future__ import annotations

from plugtron import Params

__all__ = [
    "AllowedTokensParams",
    "LogitBiasParams",
    "MinPParams",
    "MinTokensParams",
    "PenaltiesParams",
    "TemperatureParams",
    "TopKParams",
    "TopPParams",
]


class AllowedTokensParams(Params):
    """Only these ids may be drawn."""

    allowed_token_ids: list[int] | None = None


class MinTokensParams(Params):
    """No stop token before this many tokens; SamplingParams takes Megatron's `min_length` for the same."""

    min_tokens: int | None = None


class LogitBiasParams(Params):
    """Added to the logit of each id."""

    logit_bias: dict[int, float] | None = None


class PenaltiesParams(Params):
    """Against repetition."""

    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None


class TemperatureParams(Params):
    """Logits are divided by it."""

    temperature: float | None = None


class MinPParams(Params):
    """Only what is at least this likely, relative to the most likely."""

    min_p: float | None = None


class TopKParams(Params):
    """Only the k most likely."""

    top_k: int | None = None


class TopPParams(Params):
    """Only the most likely that together have probability p."""

    top_p: float | None = None
