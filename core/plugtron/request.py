"""The nouns that engines, controllers and callers share: a request, its sequences, what a step yields of them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum

from plugtron.sampling_params import SamplingParams

__all__ = [
    "FinishReason",
    "InferenceRequest",
    "InferenceSequence",
    "LogProbs",
    "Message",
    "Prompt",
    "RequestOutput",
    "Timings",
]

#: Text, token ids, or the messages of a chat.
Message = dict[str, str]
Prompt = str | list[int] | list[Message]


class FinishReason(StrEnum):
    """Why a sequence ended."""

    STOP = "stop"
    LENGTH = "length"
    ERROR = "error"
    ABORT = "abort"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProbs:
    """Natural-log probabilities of one position: of the token drawn, and of the most likely ones by id."""

    token: int
    value: float
    top: dict[int, float]


@dataclass(slots=True, kw_only=True, eq=False)
class InferenceSequence:
    """One answer in the making. `slot` is its place in KV memory while it is active.

    `tokens` are generated ids, an end-of-sequence id included; `text` has no special tokens and no stop text.
    """

    request: InferenceRequest
    index: int
    seed: int
    slot: int | None = None
    computed: int = 0
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    log_probs: list[LogProbs] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None

    @property
    def length(self) -> int:
        """Tokens of prompt and answer together."""
        return len(self.request.prompt_tokens) + len(self.tokens)

    @property
    def all_tokens(self) -> list[int]:
        """The ids of prompt and answer."""
        return self.request.prompt_tokens + self.tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Seconds since the request was added, and the decode rate over all its sequences (None: too short to say)."""

    time_to_first_token: float | None
    total: float
    tokens_per_second: float | None


@dataclass(slots=True, kw_only=True, eq=False)
class InferenceRequest:
    """A prompt, what is asked of it, and what has become of it.

    `.text`, `.tokens` and the like speak of the first sequence; `.sequences` has all `n`. Requests of higher `priority`
    go first where an engine has to choose.
    """

    prompt: Prompt
    params: SamplingParams = field(default_factory=SamplingParams)
    index: int = 0
    priority: int = 0
    id: int | None = None
    prompt_tokens: list[int] = field(default_factory=list)
    sequences: list[InferenceSequence] = field(default_factory=list)
    error: str | None = None
    arrival: float = field(default_factory=time.perf_counter)
    first_token: float | None = None
    finished: float | None = None

    @property
    def text(self) -> str:
        """The generated text of the first sequence."""
        return self.sequences[0].text if self.sequences else ""

    @property
    def tokens(self) -> list[int]:
        """The generated ids of the first sequence."""
        return self.sequences[0].tokens if self.sequences else []

    @property
    def log_probs(self) -> list[LogProbs]:
        """Log probabilities along `tokens`, when `logprobs` was asked for."""
        return self.sequences[0].log_probs if self.sequences else []

    @property
    def finish_reason(self) -> FinishReason | None:
        """Why the first sequence ended; `error` whenever `error` has a text; None while it runs."""
        if self.error is not None:
            return FinishReason.ERROR
        return self.sequences[0].finish_reason if self.sequences else None

    @property
    def is_finished(self) -> bool:
        """Whether every sequence has ended, or the request has failed."""
        if self.error is not None:
            return True
        return bool(self.sequences) and all(sequence.finish_reason for sequence in self.sequences)

    @property
    def timings(self) -> Timings:
        """How long it took; of a running request, so far."""
        end = time.perf_counter() if self.finished is None else self.finished
        first = None if self.first_token is None else self.first_token - self.arrival
        decoded = sum(len(sequence.tokens) - 1 for sequence in self.sequences if sequence.tokens)
        rate = None
        if self.first_token is not None and decoded > 0 and end > self.first_token:
            rate = decoded / (end - self.first_token)
        return Timings(time_to_first_token=first, total=end - self.arrival, tokens_per_second=rate)

    def fail(self, reason: str) -> None:
        """End the request with an error; what it had generated stays."""
        self.error = reason
        self.finished = time.perf_counter()
        for sequence in self.sequences:
            sequence.finish_reason = sequence.finish_reason or FinishReason.ERROR


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOutput:
    """What one step added to one sequence; `request` holds all there is so far."""

    request: InferenceRequest
    sequence: int
    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason | None
