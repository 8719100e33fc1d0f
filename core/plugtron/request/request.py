"""The nouns that engines, controllers and callers share: a request, its sequences, what a step yields of them."""

from __future__ import annotations

import copy
import html
import time
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from itertools import pairwise
from typing import Any, NamedTuple

from plugtron.request.chat_options import ChatOptions
from plugtron.request.sampling_params import SamplingParams

__all__ = [
    "FinishReason",
    "InferenceRequest",
    "InferenceSequence",
    "LogProbs",
    "Message",
    "Outstanding",
    "PriorityKey",
    "Prompt",
    "RequestOutput",
    "Timings",
]

#: Text, token ids, or the messages of a chat: a role, a content, and what else the template reads.
Message = dict[str, Any]
Prompt = str | list[int] | list[Message]
PriorityKey = tuple[int, int, int]


class FinishReason(StrEnum):
    """Why a sequence ended."""

    STOP = "stop"
    LENGTH = "length"
    ERROR = "error"
    ABORT = "abort"
    DEADLINE = "deadline"


@dataclass(frozen=True, slots=True, kw_only=True)
class LogProbs:
    """Natural-log probabilities of one position: of the token drawn, and of the most likely ones by id.

    `texts` has the texts of all these tokens, by id, where there is a tokenizer; bytes that are no UTF-8 are U+FFFD.
    """

    token: int
    value: float
    top: dict[int, float]
    texts: dict[int, str] = field(default_factory=dict)

    @property
    def text(self) -> str | None:
        """The text of the token drawn; None where there is no tokenizer."""
        return self.texts.get(self.token)

    def to_dict(self) -> dict[str, Any]:
        """As data for JSON."""
        entry: dict[str, Any] = {"token": self.token, "logprob": self.value, "top": self.top}
        if self.texts:
            entry |= {"text": self.text, "top_texts": {token: self.texts[token] for token in self.top}}
        return entry


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class InferenceSequence:
    """One answer in the making. `slot` is its place in KV memory while it is active.

    `tokens` are generated ids, an end-of-sequence id included; `text` has no special tokens and no stop text.
    `token_times` says when each token came, as time.perf_counter does. `cached_tokens` of the prompt were in memory
    already; `preemptions` is how often the sequence gave its memory away, to be computed again. Of
    `drafted_tokens` that speculative decoding proposed, `accepted_tokens` were kept. The lower
    `priority_key`, the earlier its turn: by priority, by arrival, by number within the request.
    """

    request: InferenceRequest
    index: int
    seed: int
    slot: int | None = None
    computed: int = 0
    tokens: list[int] = field(default_factory=list)
    text: str = ""
    token_times: list[float] = field(default_factory=list)
    log_probs: list[LogProbs] = field(default_factory=list)
    finish_reason: FinishReason | None = None
    stop_reason: int | str | None = None
    cached_tokens: int = 0
    preemptions: int = 0
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    #: From which token on which weights were used, since those that the model began with: version 0.
    weights_changes: list[tuple[int, int]] = field(default_factory=list)
    priority_key: PriorityKey = field(init=False)

    def __post_init__(self) -> None:
        # Set once, because every step sorts by it.
        self.priority_key = -self.request.priority, self.request.id or 0, self.index

    def __repr__(self) -> str:
        state = self.finish_reason or ("running" if self.slot is not None else "waiting")
        return f"<InferenceSequence {self.index} of request {self.request.id}, {len(self.tokens)} tokens, {state}>"

    def note_weights(self, version: int) -> None:
        """Note that the next token will be of other weights."""
        self.weights_changes.append((len(self.tokens), version))

    @property
    def weights_versions(self) -> list[int]:
        """The version of the weights that each token was drawn with, as `update_weights` counts them."""
        versions = [0] * len(self.tokens)
        for start, version in self.weights_changes:
            versions[start:] = [version] * (len(versions) - start)
        return versions

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
    """How long a request took, in seconds (None: it has not come so far).

    Args:
        queue: until it was given a place.
        time_to_first_token: until its first token.
        inter_token: from one token of a sequence to the next, on average.
        max_inter_token: the longest of those times.
        total: until its end.
        tokens_per_second: the rate after the first token, over all sequences.
    """

    queue: float | None = None
    time_to_first_token: float | None
    inter_token: float | None = None
    max_inter_token: float | None = None
    total: float
    tokens_per_second: float | None


@dataclass(slots=True, kw_only=True, eq=False, repr=False)
class InferenceRequest:
    """A prompt, what is asked of it, and what has become of it.

    `.text`, `.tokens` and the like speak of the first sequence; `.sequences` has all `n`.

    Args:
        priority: requests of higher priority go first where an engine has to choose.
        deadline: seconds after its arrival at which it is ended with what it has.
        cache_salt: only requests with the same salt share what memory has of a common prefix.
        chat: how messages are written out; None: the defaults of the checkpoint's template.
    """

    prompt: Prompt
    params: SamplingParams = field(default_factory=SamplingParams)
    index: int = 0
    priority: int = 0
    deadline: float | None = None
    cache_salt: str = ""
    chat: ChatOptions | None = None
    id: int | None = None
    prompt_tokens: list[int] = field(default_factory=list)
    sequences: list[InferenceSequence] = field(default_factory=list)
    #: Of the prompt's tokens, when `prompt_logprobs` was asked for; None for the first, which follows nothing, and for
    #: those before `prompt_logprobs_start`.
    prompt_log_probs: list[LogProbs | None] = field(default_factory=list)
    #: Of the prompt, when `pooling` was asked for.
    embedding: list[float] | None = None
    #: Of the prompt's tokens, [T][H], by layer, when `hidden_layers` were asked for.
    hidden_states: dict[int, list[list[float]]] = field(default_factory=dict)
    error: str | None = None
    #: Whether the error is of what it asks for, and not of the run.
    refused: bool = False
    arrival: float = field(default_factory=time.perf_counter)
    started: float | None = None
    first_token: float | None = None
    finished: float | None = None
    #: Whether it has been checked and tokenized; for engines.
    prepared: bool = field(default=False, init=False, repr=False)

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
    def stop_reason(self) -> int | str | None:
        """The stop token's id, or the stop text, that ended the first sequence."""
        return self.sequences[0].stop_reason if self.sequences else None

    @property
    def is_finished(self) -> bool:
        """Whether every sequence has ended, or the request has failed."""
        if self.error is not None:
            return True
        return bool(self.sequences) and all(sequence.finish_reason for sequence in self.sequences)

    @property
    def cached_tokens(self) -> int:
        """Tokens of the prompt that memory had already, over all sequences."""
        return sum(sequence.cached_tokens for sequence in self.sequences)

    @property
    def preemptions(self) -> int:
        """How often its sequences had to be computed again."""
        return sum(sequence.preemptions for sequence in self.sequences)

    @property
    def token_gaps(self) -> list[float]:
        """Seconds between each token and the one before it, of all sequences."""
        times = (sequence.token_times for sequence in self.sequences)
        return [later - earlier for one in times for earlier, later in pairwise(one)]

    @property
    def timings(self) -> Timings:
        """How long it took; of a running request, so far."""
        end = time.perf_counter() if self.finished is None else self.finished
        gaps = self.token_gaps
        rate = None
        if self.first_token is not None and gaps and end > self.first_token:
            rate = len(gaps) / (end - self.first_token)
        return Timings(
            queue=None if self.started is None else self.started - self.arrival,
            time_to_first_token=None if self.first_token is None else self.first_token - self.arrival,
            inter_token=sum(gaps) / len(gaps) if gaps else None,
            max_inter_token=max(gaps, default=None),
            total=end - self.arrival,
            tokens_per_second=rate,
        )

    def to_dict(self) -> dict[str, Any]:
        """All that has become of it as data for JSON; the answers are under `sequences`. Times are in seconds."""
        return {
            "index": self.index,
            "prompt": self.prompt,
            "prompt_tokens": self.prompt_tokens,
            "prompt_logprobs": [None if entry is None else entry.to_dict() for entry in self.prompt_log_probs],
            "embedding": self.embedding,
            "hidden_states": self.hidden_states,
            "finish_reason": self.finish_reason,
            "error": self.error,
            "timings": asdict(self.timings),
            "sequences": [
                {
                    "index": sequence.index,
                    "seed": sequence.seed,
                    "text": sequence.text,
                    "tokens": sequence.tokens,
                    "finish_reason": sequence.finish_reason,
                    "stop_reason": sequence.stop_reason,
                    "logprobs": [entry.to_dict() for entry in sequence.log_probs],
                    "cached_tokens": sequence.cached_tokens,
                    "preemptions": sequence.preemptions,
                    "drafted_tokens": sequence.drafted_tokens,
                    "accepted_tokens": sequence.accepted_tokens,
                    "weights_versions": sequence.weights_versions,
                }
                for sequence in self.sequences
            ],
        }

    def snapshot(self) -> InferenceRequest:
        """A copy of what it is now; nothing that is done to it changes this one."""
        copied = copy.copy(self)
        copied.prompt_tokens = list(self.prompt_tokens)
        copied.prompt_log_probs = copy.deepcopy(self.prompt_log_probs)
        copied.embedding = copy.copy(self.embedding)
        copied.hidden_states = copy.deepcopy(self.hidden_states)
        copied.prompt = copy.deepcopy(self.prompt) if isinstance(self.prompt, list) else self.prompt
        copied.sequences = []
        for sequence in self.sequences:
            own = copy.copy(sequence)
            own.request = copied
            own.tokens, own.token_times = list(sequence.tokens), list(sequence.token_times)
            own.log_probs = copy.deepcopy(sequence.log_probs)
            own.weights_changes = list(sequence.weights_changes)
            copied.sequences.append(own)
        return copied

    def __repr__(self) -> str:
        text = self.error if self.error is not None else self.text
        state = self.finish_reason or ("waiting" if self.started is None else "running")
        return f"<InferenceRequest {self.index}: {state}, {len(self.tokens)} tokens, {_short(text)!r}>"

    def _repr_html_(self) -> str:
        prompt, text = (
            html.escape(str(part)) for part in (self.prompt, self.text if self.error is None else self.error)
        )
        return f"<div><i>{prompt}</i><b>{text}</b> <small>({self.finish_reason or 'running'})</small></div>"

    def fail(self, reason: str, *, refused: bool = False) -> None:
        """End the request with an error, perhaps of what it asks for; what it had generated stays."""
        self.error, self.refused = reason, refused
        self.finished = time.perf_counter()
        for sequence in self.sequences:
            sequence.finish_reason = sequence.finish_reason or FinishReason.ERROR


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


class RequestOutput(NamedTuple):
    """What a step, or several, added to one sequence; `request` holds all there is so far."""

    request: InferenceRequest
    sequence: int
    text: str
    tokens: tuple[int, ...]
    finish_reason: FinishReason | None
    log_probs: tuple[LogProbs, ...] = ()

    def then(self, later: RequestOutput) -> RequestOutput:
        """This output and the next of the same sequence as one."""
        return later._replace(
            text=self.text + later.text,
            tokens=self.tokens + later.tokens,
            log_probs=self.log_probs + later.log_probs,
        )


class Outstanding:
    """Which sequences of a request are still to be reported as ended; of a refused one, which has none, the first."""

    def __init__(self) -> None:
        self._open: set[int] | None = None

    def note(self, output: RequestOutput) -> bool:
        """Take note of an output; say whether it was the request's last."""
        if self._open is None:
            self._open = {sequence.index for sequence in output.request.sequences} or {0}
        if output.finish_reason is not None:
            self._open.discard(output.sequence)
        return not self._open
