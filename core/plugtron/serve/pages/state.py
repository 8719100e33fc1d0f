"""How things stand now, as data for the page that draws it."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import Any

from plugtron.contracts.routes import Service
from plugtron.request.request import InferenceRequest

__all__ = ["state"]

#: Requests that are reported at a time: of those that are open, and of those that have ended.
_SHOWN = 40
#: Characters of a prompt and of an answer, where the server shows them.
_SHORT = 300


def state(service: Service) -> dict[str, Any]:
    """Counts since the start and requests, open ones first, the newest of both first. Times are in seconds.

    A look of one second's cadence must not hold up the event loop: no request is gone through token by token.
    """
    now = time.perf_counter()
    stats = service.stats
    shows_text = bool(service.settings.get("serve", {}).get("log_prompts"))
    opened = sorted(service.open_requests, key=lambda request: request.arrival, reverse=True)
    ended = list(service.recent_requests)[: -_SHOWN - 1 : -1]
    return {
        "time": now,
        "stats": None if stats is None else asdict(stats),
        "answer_tokens": _answer_tokens(service),
        "open": len(opened),
        "requests": [_described(request, now, shows_text) for request in (*opened[:_SHOWN], *ended)],
    }


def _answer_tokens(service: Service) -> int:
    """Tokens of answers so far, those that are being made included."""
    ended = service.metrics.get_sample_value("vllm:generation_tokens_total", {"model_name": service.models[0]})
    return int(ended or 0) + sum(map(_generated, service.open_requests))


def _generated(request: InferenceRequest) -> int:
    return sum(len(sequence.tokens) for sequence in request.sequences)


def _described(request: InferenceRequest, now: float, shows_text: bool) -> dict[str, Any]:
    """One request; its stretches of time are None as long as it has not come so far."""
    end = now if request.finished is None else request.finished
    # What was refused at the last moment, or left by its client while it waited, has no start.
    started = request.started
    first = request.first_token
    described: dict[str, Any] = {
        "id": request.id,
        "age": now - request.arrival,
        "finish_reason": request.finish_reason,
        "error": request.error if shows_text or request.error is None else "failed",
        "queue": (end if started is None else started) - request.arrival,
        "prefill": None if started is None else (end if first is None else first) - started,
        "decode": None if first is None else end - first,
        "prompt_tokens": len(request.prompt_tokens),
        "cached_tokens": request.cached_tokens,
        "answer_tokens": _generated(request),
        "answers": request.params.answers,
        "preemptions": request.preemptions,
        "inter_token": _inter_token(request),
        "open": request.finished is None,
    }
    if shows_text:
        described |= {"prompt": str(request.prompt)[:_SHORT], "text": request.text[:_SHORT]}
    return described


def _inter_token(request: InferenceRequest) -> float | None:
    """The mean time from one token to the next, by the first and the last of each sequence."""
    gaps, seconds = 0, 0.0
    for sequence in request.sequences:
        times = sequence.token_times
        if len(times) > 1:
            gaps += len(times) - 1
            seconds += times[-1] - times[0]
    return seconds / gaps if gaps else None
