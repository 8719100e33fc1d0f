"""What goes between the server's process and its replicas. Ray pickles it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from plugtron.contracts.stats import EngineStats
from plugtron.request.request import FinishReason, LogProbs
from plugtron.request.sampling_params import SamplingParams

__all__ = [
    "Delta",
    "Order",
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
    """What is known of a replica when it has loaded its model."""

    max_sequence_length: int | None
    stats: EngineStats | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """What a replica has made of a request: its tokens, or why it cannot run."""

    tokens: list[int]
    params: SamplingParams
    error: str | None
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request that has been prepared, for the replica that is to run it.

    Args:
        number: by which the server knows it.
        prompt: its text, where the answer repeats it; else its tokens.
        params: with the seed that the request has been given.
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
    """What a replica knows of a request: with its first output, and once more with its last.

    Args:
        running: seconds since it was given a place; None: it has had none.
        prompt_log_probs: those that have not been sent before.
        over: no more will come of it.
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
    """What is known of a sequence when it has ended."""

    stop_reason: int | str | None
    cached_tokens: int
    preemptions: int
    drafted_tokens: int
    accepted_tokens: int
    weights_changes: list[tuple[int, int]]


class Delta(NamedTuple):
    """What has been added to a sequence of a request."""

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
    """All that a replica has to say at once, in order."""

    deltas: list[Delta]
    stats: EngineStats | None


@dataclass(frozen=True, slots=True)
class Pause:
    """Do no more steps."""


@dataclass(frozen=True, slots=True)
class Resume:
    """Do steps again."""


@dataclass(frozen=True, slots=True)
class Sleep:
    """Give memory back, perhaps that of the weights, too."""

    weights: bool


@dataclass(frozen=True, slots=True)
class Wake:
    """Take memory again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Use the weights of another checkpoint; None: those that the spec names."""

    path: Path | None
    version: int
    recompute: bool = True


#: What is done to the model of a replica as a whole; see `plugtron.contracts.control`.
Order = Pause | Resume | Sleep | Wake | Weights
