"""Outputs of a replica, collected for its server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from plugtron.contracts.stats import EngineStats
from plugtron.integrations.replicas.messages import Delta, Report, RequestState, SequenceEnd
from plugtron.request.request import InferenceRequest, Outstanding, RequestOutput

__all__ = ["Outbox", "RequestReporter"]

#: Seconds after which changed counts of the engine are sent, though no output has come.
_STATS_S = 0.5


class RequestReporter:
    """Turns the outputs of a request into messages.

    Args:
        number: the server's id of it.
    """

    def __init__(self, number: int, request: InferenceRequest) -> None:
        self._number = number
        self._request = request
        self._outstanding = Outstanding()
        self._sent_states = 0
        self._sent_log_probs = 0

    def delta(self, output: RequestOutput) -> Delta:
        """The message for an output; first and last ones carry the request's state."""
        over = self._outstanding.note(output)
        state = self._state(over=over) if over or not self._sent_states else None
        return Delta(
            self._number,
            output.sequence,
            output.text,
            output.tokens,
            output.finish_reason,
            output.log_probs,
            state,
            None if output.finish_reason is None else self._end(output.sequence),
        )

    def failure(self, reason: str) -> Delta:
        """The end of a request that the engine has not ended itself."""
        self._request.fail(reason)
        return Delta(self._number, 0, "", (), self._request.finish_reason, (), self._state(over=True), None)

    def _state(self, *, over: bool) -> RequestState:
        request = self._request
        fresh = request.prompt_log_probs[self._sent_log_probs :]
        self._sent_states, self._sent_log_probs = self._sent_states + 1, len(request.prompt_log_probs)
        return RequestState(
            running=None if request.started is None else time.perf_counter() - request.started,
            error=request.error,
            refused=request.refused,
            prompt_log_probs=fresh,
            embedding=request.embedding,
            hidden_states=request.hidden_states,
            over=over,
        )

    def _end(self, index: int) -> SequenceEnd | None:
        if index >= len(self._request.sequences):  # it was refused, and has none
            return None
        sequence = self._request.sequences[index]
        return SequenceEnd(
            stop_reason=sequence.stop_reason,
            cached_tokens=sequence.cached_tokens,
            preemptions=sequence.preemptions,
            drafted_tokens=sequence.drafted_tokens,
            accepted_tokens=sequence.accepted_tokens,
            weights_changes=sequence.weights_changes,
        )


class Outbox:
    """Holds outputs of all requests until they are fetched: those of one step go in one message.

    Used from one event loop.

    Args:
        stats: returns the engine's counts.
    """

    def __init__(self, stats: Callable[[], EngineStats | None]) -> None:
        self._stats = stats
        self._told: EngineStats | None = None
        self._deltas: list[Delta] = []
        self._failure: Exception | None = None
        self._changed = asyncio.Event()

    def put(self, delta: Delta) -> None:
        """Add a message."""
        self._deltas.append(delta)
        self._changed.set()

    def fail(self, error: Exception) -> None:
        """Have `fetch` raise an error from now on."""
        self._failure = error
        self._changed.set()

    async def fetch(self) -> Report:
        """Wait until there are messages or changed counts, and return them all.

        Raises:
            Exception: what `fail` was given.
        """
        while True:
            try:
                async with asyncio.timeout(_STATS_S):
                    await self._changed.wait()
            except TimeoutError:
                pass
            if self._failure is not None:
                raise self._failure
            self._changed.clear()
            stats = self._stats()
            if self._deltas or stats != self._told:
                deltas, self._deltas, self._told = self._deltas, [], stats
                return Report(deltas, stats)
