"""How requests come in: checked, tokenized, given seeds, and on every rank of a job in the same order."""

from __future__ import annotations

import json
import secrets
import time

from plugtron.engine.events import Abort, Add, Close, Command, Event, agree
from plugtron.engine.request_handler import RequestHandler
from plugtron.engine.scheduler import Scheduler
from plugtron.engine.seeds import RequestSeeds
from plugtron.errors import ParallelError, RequestError
from plugtron.request.request import FinishReason, InferenceRequest
from plugtron.request.sampling_params import SamplingParams
from plugtron.utils.validation import plain

__all__ = ["RequestProcessor"]

#: Seconds after which no clock goes on.
_FOREVER = 1e9


class RequestProcessor:
    """Takes requests up between steps. In interactive jobs the other ranks apply the leader's events.

    Args:
        seed: what requests without a seed derive theirs from, in order; None: fresh ones.
        limit: the longest sequence, prompt and answer together.
    """

    def __init__(self, handler: RequestHandler, scheduler: Scheduler, *, seed: int | None, limit: int) -> None:
        self._handler = handler
        self._scheduler = scheduler
        # Fresh seeds derive from the same on every rank, because any of them may report one.
        self._seeds = RequestSeeds(seed, fresh=handler.runtime.broadcast_from_first(secrets.randbits(63)))
        self._limit = limit
        self._next_id = 0
        self._version = 0
        self._events: list[Event] = []
        self._open: dict[int, InferenceRequest] = {}
        # When requests with a deadline are late, by id: of those that were added here.
        self._deadlines: dict[int, float] = {}
        self.closed = False

    @property
    def has_events(self) -> bool:
        """Whether the next `apply` will change anything."""
        return bool(self._events)

    def prepare(self, request: InferenceRequest) -> None:
        """Check a request and tokenize its prompt, which takes a while and no turn; one that cannot run is failed.

        May be called from any thread, before `add`, which does it otherwise.
        """
        if request.id is not None or request.prepared or request.error is not None:
            return
        request.arrival = time.perf_counter()
        try:
            _check_types(request)
            prompt, params, chat = request.prompt, request.params, request.chat
            tokenize = self._handler.tokenize_prompt
            request.prompt_tokens = tokenize(prompt, params) if chat is None else tokenize(prompt, params, chat=chat)
            self._truncate(request)
            self._check_length(request)
            self._handler.check(request)
            if self._handler.runtime.world.interactive:
                json.dumps(request.params.to_flat())  # as it will travel to the other ranks
        # Checks are partly plugins' code; whatever one raises, this request fails and the others go on.
        except Exception as error:
            asked = isinstance(error, ValueError)
            request.fail(str(error) if asked else f"{type(error).__name__}: {error}", refused=asked)
        request.prepared = True

    def add(self, request: InferenceRequest) -> int:
        """Queue a request for the next step, checked; one that cannot run is failed with the reason."""
        if self.closed:
            raise ParallelError("this engine is closed")
        if request.id is not None:
            raise RequestError("this request has been added before: make a new one for another run")
        self.prepare(request)
        request.id, self._next_id = self._next_id, self._next_id + 1
        if request.error is not None:
            self._scheduler.complete(request)
            return request.id
        self._seeds.begin_sequences(request)
        if request.params.most_tokens == 0 and not request.params.reads_prompt:
            for sequence in request.sequences:
                sequence.finish_reason = FinishReason.LENGTH
            request.finished = request.arrival
            self._scheduler.complete(request)
            return request.id
        self._open[request.id] = request
        if request.deadline is not None:
            self._deadlines[request.id] = request.arrival + request.deadline
        self._events.append(Add(request))
        return request.id

    def abort(self, request_id: int) -> bool:
        """Queue the end of a request; False when it is not open."""
        if self.closed or request_id not in self._open:
            return False
        self._events.append(Abort(request_id))
        return True

    def close(self) -> None:
        """Queue the end of everything, and let the other ranks know."""
        if not self.closed:
            self._events.append(Close())
            self.apply()

    def order(self, command: Command) -> None:
        """Queue what all ranks are to do before the next step."""
        if self.closed:
            raise ParallelError("this engine is closed")
        self._events.append(command)

    def apply(self) -> list[Command]:
        """Agree on what has come in and who is late, and do it; return what is left for the engine to do."""
        commands: list[Command] = []
        own, self._events = self._events + self._expiries(), []
        events = agree(own, self._handler.runtime)
        for event in events:
            if isinstance(event, Add):
                assert event.request.id is not None
                self._open[event.request.id] = event.request
                if self._version:
                    for sequence in event.request.sequences:
                        sequence.note_weights(self._version)
                self._scheduler.add(event.request)
            elif isinstance(event, Abort):
                self._end(event.request_id, event.reason)
            elif isinstance(event, Close):
                self.closed = True
                for request_id in list(self._open):
                    self._end(request_id, FinishReason.ABORT)
            else:
                commands.append(event)
        return commands

    def note_weights(self, version: int) -> None:
        """Have tokens that come from now on say which weights they are of."""
        self._version = version
        for request in self._open.values():
            for sequence in request.sequences:
                sequence.note_weights(version)

    def finish(self, request: InferenceRequest) -> None:
        """Note that all sequences of a request have ended."""
        if request.id in self._open:
            del self._open[request.id]
            self._deadlines.pop(request.id, None)
            request.finished = request.finished or time.perf_counter()
            self._scheduler.complete(request)

    def finish_if_over(self, request: InferenceRequest) -> None:
        """Finish a request whose sequences have all ended and given their slots back."""
        if request.is_finished and all(sequence.slot is None for sequence in request.sequences):
            self._scheduler.drop(request)
            self.finish(request)

    def _expiries(self) -> list[Event]:
        """The ends of requests that are past their deadline, by the first rank's clock."""
        if not self._deadlines:
            return []
        now = time.perf_counter()
        late = [request_id for request_id, due in self._deadlines.items() if due <= now]
        late = self._handler.runtime.broadcast_from_first(late)
        for request_id in late:
            del self._deadlines[request_id]
        return [Abort(request_id, FinishReason.DEADLINE) for request_id in late]

    def _end(self, request_id: int, reason: FinishReason) -> None:
        request = self._open.get(request_id)
        if request is None:
            return  # it has ended by itself in the meantime
        self._scheduler.drop(request)
        for sequence in request.sequences:
            sequence.finish_reason = sequence.finish_reason or reason
        if not any(sequence.slot is not None for sequence in request.sequences):
            self.finish(request)

    def _truncate(self, request: InferenceRequest) -> None:
        """Keep the end of the prompt, as much of it as `truncate_prompt_tokens` says."""
        asked = request.params.truncate_prompt_tokens
        if asked is None:
            return
        kept = asked
        if asked < 0:
            most = request.params.most_tokens
            kept = self._limit - (1 if most is None else most)
            if kept < 1:
                raise ValueError(
                    f"truncate_prompt_tokens: max_tokens: {request.params.most_tokens} leaves no room for a prompt "
                    f"within {self._limit} tokens (engine.options.max_sequence_length)"
                )
        request.prompt_tokens = request.prompt_tokens[-kept:]

    def _check_length(self, request: InferenceRequest) -> None:
        length = len(request.prompt_tokens)
        if length + (request.params.most_tokens != 0) > self._limit:
            raise ValueError(
                f"the prompt has {length} tokens, and prompt and answer together may have {self._limit} "
                "(engine.options.max_sequence_length)"
            )


def _check_types(request: InferenceRequest) -> None:
    """What callers set that nobody else looks at before the request runs."""
    if not isinstance(request.params, SamplingParams):
        raise ValueError(f"params: must be SamplingParams (got {plain(request.params)})")
    if not isinstance(request.priority, int) or isinstance(request.priority, bool) or abs(request.priority) >= 2**63:
        raise ValueError(f"priority: must be a whole number (got {plain(request.priority)})")
    deadline = request.deadline
    if deadline is not None and (not isinstance(deadline, int | float) or isinstance(deadline, bool)):
        raise ValueError(f"deadline: must be a number of seconds (got {plain(deadline)})")
    if deadline is not None and not 0 < deadline < _FOREVER:
        past = "are over before it arrives" if not deadline > 0 else f"are too many (at most {_FOREVER:.0e})"
        raise ValueError(f"deadline: {plain(deadline)} seconds {past}")
    if not isinstance(request.cache_salt, str) or not _is_unicode(request.cache_salt):
        raise ValueError(f"cache_salt: must be a text (got {request.cache_salt!r})")


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
