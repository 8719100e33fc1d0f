"""Counts of tokens, and words for how an answer ended."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plugtron.request.request import FinishReason, InferenceRequest

__all__ = ["finish_reason", "usage"]

#: Where OpenAI's API has another word; `stop_reason` beside it says which it was.
_WORDS = {FinishReason.DEADLINE: "length"}


def usage(requests: Sequence[InferenceRequest]) -> dict[str, Any]:
    """What requests have taken: tokens of prompts, once for each, and of answers."""
    prompt = sum(len(request.prompt_tokens) for request in requests)
    answer = sum(len(sequence.tokens) for request in requests for sequence in request.sequences)
    counts: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}
    counts["prompt_tokens_details"] = {"cached_tokens": sum(request.cached_tokens for request in requests)}
    drafted = sum(sequence.drafted_tokens for request in requests for sequence in request.sequences)
    if drafted:
        accepted = sum(sequence.accepted_tokens for request in requests for sequence in request.sequences)
        details = {"accepted_prediction_tokens": accepted, "rejected_prediction_tokens": drafted - accepted}
        counts["completion_tokens_details"] = details
    return counts


def finish_reason(reason: FinishReason | None, *, has_calls: bool = False) -> str | None:
    """OpenAI's word for why an answer ended."""
    if reason is None:
        return None
    return "tool_calls" if has_calls and reason is FinishReason.STOP else _WORDS.get(reason, str(reason))
