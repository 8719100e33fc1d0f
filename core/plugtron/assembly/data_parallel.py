"""Data parallelism: replicas of a model share the requests, and each learns what the others have generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plugtron.parallel.group import Group
from plugtron.request.request import FinishReason, InferenceRequest, InferenceSequence, LogProbs

__all__ = ["exchange", "share"]


def share(requests: Sequence[InferenceRequest], group: Group) -> list[InferenceRequest]:
    """The requests that are this replica's: one in as many as there are replicas, so that long and short ones mix."""
    return list(requests[group.rank :: group.size])


def exchange(requests: Sequence[InferenceRequest], group: Group) -> list[InferenceRequest]:
    """Fill in what other replicas have generated; return those requests, in order."""
    everyone = group.all_gather_json([_encode(request) for request in share(requests, group)])
    filled = []
    for number, request in enumerate(requests):
        if number % group.size != group.rank:
            _fill(request, everyone[number % group.size][number // group.size])
            filled.append(request)
    return filled


def _encode(request: InferenceRequest) -> dict[str, Any]:
    """A finished request as JSON-ready data; times are since its arrival, because clocks of hosts differ."""
    return {
        "error": request.error,
        "prompt_tokens": request.prompt_tokens,
        "prompt_log_probs": [entry and _encode_log_probs(entry) for entry in request.prompt_log_probs],
        "embedding": request.embedding,
        "hidden_states": list(request.hidden_states.items()),
        "started": None if request.started is None else request.started - request.arrival,
        "first_token": None if request.first_token is None else request.first_token - request.arrival,
        "finished": None if request.finished is None else request.finished - request.arrival,
        "sequences": [
            {
                "seed": sequence.seed,
                "tokens": sequence.tokens,
                "token_times": [at - request.arrival for at in sequence.token_times],
                "cached_tokens": sequence.cached_tokens,
                "preemptions": sequence.preemptions,
                "drafted_tokens": sequence.drafted_tokens,
                "accepted_tokens": sequence.accepted_tokens,
                "text": sequence.text,
                "finish_reason": sequence.finish_reason,
                "stop_reason": sequence.stop_reason,
                "log_probs": [_encode_log_probs(entry) for entry in sequence.log_probs],
            }
            for sequence in request.sequences
        ],
    }


def _fill(request: InferenceRequest, data: dict[str, Any]) -> None:
    request.error = data["error"]
    request.prompt_tokens = data["prompt_tokens"]
    request.prompt_log_probs = [each and _log_probs(*each) for each in data["prompt_log_probs"]]
    request.embedding, request.hidden_states = data["embedding"], dict(data["hidden_states"])
    request.arrival, request.started = 0.0, data["started"]
    request.first_token, request.finished = data["first_token"], data["finished"]
    request.sequences = [
        InferenceSequence(
            request=request,
            index=index,
            seed=entry["seed"],
            tokens=entry["tokens"],
            token_times=entry["token_times"],
            cached_tokens=entry["cached_tokens"],
            preemptions=entry["preemptions"],
            drafted_tokens=entry["drafted_tokens"],
            accepted_tokens=entry["accepted_tokens"],
            text=entry["text"],
            finish_reason=None if entry["finish_reason"] is None else FinishReason(entry["finish_reason"]),
            stop_reason=entry["stop_reason"],
            log_probs=[_log_probs(*each) for each in entry["log_probs"]],
        )
        for index, entry in enumerate(data["sequences"])
    ]


def _encode_log_probs(entry: LogProbs) -> list[Any]:
    return [entry.token, entry.value, list(entry.top.items()), list(entry.texts.items())]


def _log_probs(token: int, value: float, best: list[tuple[int, float]], texts: list[tuple[int, str]]) -> LogProbs:
    return LogProbs(token=token, value=value, top=dict(best), texts=dict(texts))
