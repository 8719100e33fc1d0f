"""The fields of SamplingParams that built-in samplers consume."""

from __future__ import annotations

from plugtron import standard_params

__all__ = [
    "AllowedTokensParams",
    "BadWordsParams",
    "LogitBiasParams",
    "MinPParams",
    "MinTokensParams",
    "PenaltiesParams",
    "TemperatureParams",
    "TopKParams",
    "TopPParams",
]


class AllowedTokensParams(standard_params("allowed_token_ids")):
    """Only these ids may be drawn."""


class MinTokensParams(standard_params("min_tokens")):
    """No stop token before this many tokens; SamplingParams takes Megatron's `min_length` for the same."""


class BadWordsParams(standard_params("bad_words")):
    """Texts that the answer must not have in it."""


class LogitBiasParams(standard_params("logit_bias")):
    """Added to the logit of each id."""


class PenaltiesParams(standard_params("repetition_penalty", "presence_penalty", "frequency_penalty")):
    """Against repetition."""


class TemperatureParams(standard_params("temperature")):
    """Logits are divided by it."""


class MinPParams(standard_params("min_p")):
    """Only what is at least this likely, relative to the most likely."""


class TopKParams(standard_params("top_k")):
    """Only the k most likely."""


class TopPParams(standard_params("top_p")):
    """Only the most likely that together have probability p."""
