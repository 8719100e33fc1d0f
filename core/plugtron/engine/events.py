"""What changes an engine's work between two steps. The leader of an interactive job sends them to the other ranks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from plugtron.parallel.runtime import Runtime
from plugtron.request.request import FinishReason, InferenceRequest, InferenceSequence
from plugtron.request.sampling_params import SamplingParams

__all__ = ["Abort", "Add", "Close", "Command", "Event", "Sleep", "UpdateWeights", "Wake", "agree"]


@dataclass(frozen=True, slots=True)
class Add:
    """A request that has been checked, tokenized and given its seeds."""

    request: InferenceRequest


@dataclass(frozen=True, slots=True)
class Abort:
    """A request, by id, that is to end, and the reason to give for it."""

    request_id: int
    reason: FinishReason = FinishReason.ABORT


@dataclass(frozen=True, slots=True)
class Close:
    """The engine is closed."""


@dataclass(frozen=True, slots=True)
class UpdateWeights:
    """The weights of another checkpoint are to be used; see `Engine.update_weights`."""

    path: str
    version: int
    recompute: bool


@dataclass(frozen=True, slots=True)
class Sleep:
    """Memory is to be given back: of keys and values, and perhaps of weights."""

    weights: bool


@dataclass(frozen=True, slots=True)
class Wake:
    """Memory is to be taken again."""


#: What is done between two steps, instead of one.
Command = UpdateWeights | Sleep | Wake
Event = Add | Abort | Close | Command


def agree(events: Sequence[Event], runtime: Runtime) -> Sequence[Event]:
    """Return the leader's events on every rank; where every rank knows all requests, this rank's own.

    Requests come out as new objects on the other ranks.
    """
    if not runtime.follows:
        return events
    agreed = runtime.model.broadcast_json([_encode(event) for event in events])
    return events if runtime.rank == 0 else [_decode(entry) for entry in agreed]


def _encode(event: Event) -> dict[str, Any]:
    if isinstance(event, Add):
        request = event.request
        return {
            "event": "add",
            "id": request.id,
            "index": request.index,
            "priority": request.priority,
            "cache_salt": request.cache_salt,
            "tokens": request.prompt_tokens,
            "params": request.params.to_flat(),
            "seeds": [sequence.seed for sequence in request.sequences],
        }
    if isinstance(event, Abort):
        return {"event": "abort", "id": event.request_id, "reason": event.reason}
    if isinstance(event, UpdateWeights):
        return {"event": "update_weights", **asdict(event)}
    if isinstance(event, Sleep):
        return {"event": "sleep", "weights": event.weights}
    return {"event": "wake" if isinstance(event, Wake) else "close"}


def _decode(entry: dict[str, Any]) -> Event:
    if entry["event"] == "abort":
        return Abort(entry["id"], FinishReason(entry["reason"]))
    if entry["event"] == "close":
        return Close()
    if entry["event"] == "update_weights":
        return UpdateWeights(entry["path"], entry["version"], entry["recompute"])
    if entry["event"] == "sleep":
        return Sleep(entry["weights"])
    if entry["event"] == "wake":
        return Wake()
    params = entry["params"]
    if "logit_bias" in params:  # JSON has no other keys than texts
        params["logit_bias"] = {int(token): bias for token, bias in params["logit_bias"].items()}
    request = InferenceRequest(
        prompt=entry["tokens"],
        params=SamplingParams.from_flat(params),
        index=entry["index"],
        priority=entry["priority"],
        cache_salt=entry["cache_salt"],
        id=entry["id"],
        prompt_tokens=entry["tokens"],
    )
    request.sequences = [
        InferenceSequence(request=request, index=index, seed=seed) for index, seed in enumerate(entry["seeds"])
    ]
    return Add(request)
