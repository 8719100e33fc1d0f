"""Messages between the server's process and its replicas; Ray pickles them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from plugtron.contracts.stats import EngineStats
from plugtron.request.request import FinishReason, LogProbs
from plugtron.request.sampling_params import SamplingParams

__all__ = [
    "Command",
    "Delta",
    "Pause",
    "Prepared",
    "ReplicaFacts",
    "Report",
    "RequestState",
    "Resume",
    "SequenceEnd",
    "Sleep",
    "Submission",
    "Wake",
    "Weights",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaFacts:
    """Facts about a replica that has loaded its model."""

    max_sequence_length: int | None
    stats: EngineStats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A request as a replica has checked it: its tokens, or why it cannot run."""

    tokens: list[int]
    params: SamplingParams
    error: str | None
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A prepared request, for the replica that is to run it.

    Args:
        number: the server's id of it.
        prompt: its text, where the answer repeats it; else its tokens.
        params: with the seed that the server gave the request.
        deadline: seconds that are left.
    """

    number: int
    prompt: str | list[int]
    tokens: list[int]
    params: SamplingParams
    priority: int
    deadline: float | None
    cache_salt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestState:
    """State of a request, sent with its first output and with its last.

    Args:
        running: seconds since it was first scheduled; None: it was not.
        prompt_log_probs: those that have not been sent before.
        over: this is its last output.
    """

    running: float | None
    error: str | None
    refused: bool
    prompt_log_probs: list[LogProbs | None]
    embedding: list[float] | None
    hidden_states: dict[int, list[list[float]]]
    over: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceEnd:
    """State of a sequence that has ended."""

    stop_reason: int | str | None
    cached_tokens: int
    preemptions: int
    drafted_tokens: int
    accepted_tokens: int
    weights_changes: list[tuple[int, int]]


class Delta(NamedTuple):
    """An addition to a sequence of a request."""

    number: int
    sequence: int
    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason | None
    log_probs: tuple[LogProbs, ...]
    state: RequestState | None
    end: SequenceEnd | None


@dataclass(frozen=True, slots=True)
class Report:
    """What a replica sends at once, in order."""

    deltas: list[Delta]
    stats: EngineStats | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Stop running steps."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Run steps again."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Release the memory of keys and values, and of weights if asked."""

    weights: bool


@dataclass(frozen=True, slots=True)
class Wake:
    """Allocate the memory again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Use the weights of another checkpoint; None: those that the spec names."""

    path: Path | None
    version: int
    recompute: bool = True


#: A change to the model of a replica as a whole; see `plugtron.contracts.control`.
Command = Pause | Resume | Sleep | Wake | Weights
