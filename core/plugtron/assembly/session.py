"""The live parts of a run, and running requests through them from any thread."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace

from plugtron.assembly.answers import asks_for_parser, check_parser, parse_sequence, parser_for
from plugtron.assembly.closing import ClosedEngine
from plugtron.assembly.control import SessionControl
from plugtron.assembly.data_parallel import exchange, share
from plugtron.contracts.engine import Engine
from plugtron.contracts.parser import ParsedAnswer, Parser
from plugtron.contracts.parts import Parts
from plugtron.engine.seeds import mix
from plugtron.errors import ParallelError, RequestError
from plugtron.plugin.manager import PluginManager
from plugtron.plugin.run_info import Outcome, RunInfo
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import FinishReason, InferenceRequest, Message, Outstanding, RequestOutput
from plugtron.spec.resolved import ResolvedSpec
from plugtron.utils.free_memory import release_memory
from plugtron.utils.turn_lock import TurnLock

__all__ = ["Session", "is_loss"]

#: How many requests each replica runs before replicas tell each other what they have.
_ROUND = 64
#: How many requests of a run the engine knows of at once: its first results must not wait for the last to be tokenized.
_AHEAD = 1024
_LOST = "another rank has ended (if it could say why, that stands above)"


class Session:
    """The live parts of a run. A context manager that gives everything back.

    Its methods may be called from any thread, several at once: their steps take turns, and each caller gets the outputs
    of its own requests. Over the ranks of torchrun, which plan the same steps each for itself, one thread alone may.

    Args:
        observed: whether observers are told of what it does.
    """

    def __init__(
        self, *, resolved: ResolvedSpec, manager: PluginManager, parts: Parts, engine: Engine, observed: bool = True
    ) -> None:
        self.resolved = resolved
        self.manager = manager
        self.parts = parts
        self.engine: Engine = engine
        # What steps yield for the runs that are going on, by request: several may be, such as streams side by side.
        self._queues: dict[int, deque[RequestOutput]] = {}
        # The queue of the requests that are no run's, for the next caller of `step`.
        self._direct: deque[RequestOutput] = deque()
        # The requests of whose end observers are still to be told.
        self._open: set[int] = set()
        self._turn = TurnLock()
        #: Pausing, sleeping, other weights.
        self.control = SessionControl(self._usable_engine, self._turn)
        self._thread = threading.get_ident()
        self._requests_before = 0
        self._observes = observed and parts.runtime.rank == 0
        self._watched = self._observes and manager.watches_steps
        self._closed = False

    def run(self, requests: Sequence[InferenceRequest]) -> Iterator[RequestOutput]:
        """Run requests to their end, yielding what each step adds, and tell observers.

        Leaving the loop early, or an interrupt, aborts what is unfinished.

        Raises:
            ParallelError: the model has been closed, or its ranks have been lost.
            RequestError: the model is paused.
        """
        if self.control.is_paused:
            raise RequestError("the model is paused or asleep: resume or wake it first")
        self.announce()
        open_requests: dict[int, Outstanding] = {}
        interrupted = True
        try:
            yield from self._all_outputs(requests, open_requests)
            interrupted = False
        finally:
            with self._turn:
                for request_id in open_requests:
                    del self._queues[request_id]
                    self.engine.abort_request(request_id)
            failed = sum(request.error is not None for request in requests)
            finished = sum(request.is_finished for request in requests) - failed
            self.conclude(finished=finished, failed=failed, interrupted=interrupted)

    def announce(self) -> None:
        """Tell observers that requests are coming; for callers of `step`, because `run` calls it."""
        if self._observes:
            self.manager.run_started(self._info, self.resolved.plugin_options)

    def conclude(self, *, finished: int, failed: int, interrupted: bool) -> None:
        """Tell observers that no more requests will come; for callers of `step`, because `run` calls it."""
        if self._observes:
            outcome = Outcome(finished=finished, failed=failed, interrupted=interrupted, stats=self._stats())
            self.manager.run_finished(self._info, outcome, self.resolved.plugin_options)

    @property
    def _info(self) -> RunInfo:
        return RunInfo(
            model=self.resolved.spec.model.checkpoint,
            engine=self.resolved.spec.engine.name,
            world_size=self.parts.runtime.world.size,
        )

    def _all_outputs(
        self, requests: Sequence[InferenceRequest], open_requests: dict[int, Outstanding]
    ) -> Iterator[RequestOutput]:
        """Yield the outputs of these requests; those that other replicas run come in rounds, each in one piece."""
        replicas = self.parts.runtime.data
        if replicas.size == 1:
            yield from self._outputs(requests, open_requests)
            return
        self._seed_by_number(requests)
        # In rounds, so that what is finished is known to all before everything is.
        size = replicas.size * _ROUND
        for part in (requests[first : first + size] for first in range(0, len(requests), size)):
            yield from self._outputs(share(part, replicas), open_requests)
            try:
                foreign = exchange(part, replicas)
            except RuntimeError as error:
                if is_loss(error):
                    raise ParallelError(_LOST) from error
                raise
            for request in foreign:
                if self._observes:
                    self.manager.request_finished(request, self.resolved.plugin_options)
                yield from _in_one_piece(request)

    def _seed_by_number(self, requests: Sequence[InferenceRequest]) -> None:
        """Give requests the seeds that one engine would give them, which numbers all of them."""
        seed = self.parts.seed
        for number, request in enumerate(requests, start=self._requests_before + 1):
            if seed is not None and request.params.seed is None:
                request.params = request.params.model_copy(update={"seed": mix(seed, number)})
        self._requests_before += len(requests)

    def _outputs(
        self, requests: Sequence[InferenceRequest], open_requests: dict[int, Outstanding]
    ) -> Iterator[RequestOutput]:
        """Yield the outputs of these requests; `open_requests` holds those that are still to end."""
        queue: deque[RequestOutput] = deque()
        coming = deque(requests)
        # An engine that is to choose among requests, or to count their time, has to know of all of them.
        ahead = len(requests) if any(request.priority or request.deadline for request in requests) else _AHEAD
        while coming or open_requests:
            while coming and len(open_requests) < ahead:
                self._take_up(coming.popleft(), queue, open_requests)
            self.control.gate.wait()
            with self._turn:
                if not queue and self.control.gate.is_open:  # nor has another thread's step filled it meanwhile
                    self._advance()
            while queue:
                output = queue.popleft()
                request_id = output.request.id
                if request_id in open_requests and open_requests[request_id].note(output):
                    del open_requests[request_id], self._queues[request_id]
                yield output

    def _take_up(
        self, request: InferenceRequest, queue: deque[RequestOutput], open_requests: dict[int, Outstanding]
    ) -> None:
        """Hand a run's request to the engine; what steps add to it goes to the run's queue."""
        self.prepare_request(request)
        with self._turn:
            request_id = self._add(request)
            open_requests[request_id], self._queues[request_id] = Outstanding(), queue

    @property
    def has_unfinished_requests(self) -> bool:
        """Whether `step` has anything to do; paused, it does nothing."""
        return bool(self._direct) or (self.control.gate.is_open and self.engine.has_unfinished_requests)

    def notify(self, callback: Callable[[], None]) -> None:
        """Have `callback` called when steps go on after a pause, or have something to do that no caller has brought."""
        self.control.gate.listen(callback)
        self.engine.notify(callback)

    def prepare_request(self, request: InferenceRequest) -> None:
        """Do what of `add_request` takes long and needs no turn."""
        self._check_usable()
        self.engine.prepare_request(request)

    def add_request(self, request: InferenceRequest) -> int:
        """Hand a request to the engine, for the next `step`.

        Raises:
            ParallelError: the model has been closed, or its ranks have been lost.
        """
        with self._turn:
            request_id = self._add(request)
            self._queues[request_id] = self._direct
            return request_id

    def _add(self, request: InferenceRequest) -> int:
        self._check_usable()
        request_id = self.engine.add_request(request)
        self._open.add(request_id)
        return request_id

    def abort_request(self, request_id: int) -> bool:
        """End a request before the next step; False when no such request is waiting or running."""
        return self.engine.abort_request(request_id)

    def step(self) -> Sequence[RequestOutput]:
        """Do one step of the engine, and return what it and other threads' steps added to requests that are no run's.

        Raises:
            ParallelError: another rank has ended.
        """
        with self._turn:
            if not self._direct and self.control.gate.is_open:
                self._advance()
            taken = list(self._direct)
            self._direct.clear()
            return taken

    def _advance(self) -> None:
        """Do one step of the engine, tell observers of what has finished, and leave outputs for those they are of."""
        world = self.parts.runtime.world
        self._check_usable()
        try:
            outputs = self.engine.step()
        except BaseException as error:
            # The other ranks are inside the same step and cannot be called back from it.
            ended = world.abandon()
            if ended and isinstance(error, RuntimeError):
                raise ParallelError(ended) from error
            if is_loss(error):
                raise ParallelError(_LOST) from error
            raise
        if self._watched:
            self.manager.step_finished(self._stats(), self.resolved.plugin_options)
        for output in outputs:
            request_id = output.request.id
            if request_id in self._queues:
                self._queues[request_id].append(output)
            if request_id in self._open and output.request.is_finished:
                self._open.discard(request_id)
                if self._observes:
                    self.manager.request_finished(output.request, self.resolved.plugin_options)
        for output in outputs:
            request_id = output.request.id
            if request_id is not None and output.request.is_finished and self._queues.get(request_id) is self._direct:
                del self._queues[request_id]

    def lost_rank(self) -> str:
        """Say which of the processes that this one has started has ended, if one has; without waiting for a step."""
        return "" if self._closed else self.parts.runtime.world.lost_follower()

    def check_parser(self, chat: ChatOptions | None) -> None:
        """See before anything is generated whether there is the parser that a request asks for.

        Raises:
            RequestError: there is none of the name.
        """
        check_parser(chat, self.manager.registry)

    def parser(self, request: InferenceRequest) -> Parser | None:
        """Make the parser of an answer, for a stream; None where no parser knows the chat template.

        It takes the texts of outputs of a request with `skip_special_tokens: false`, one sequence's.

        Raises:
            RequestError: `request.chat` names a parser that is not there, or there is no tokenizer.
        """
        return parser_for(request, self.parts.tokenizer, self.manager.registry)

    def parse(self, request: InferenceRequest, sequence: int = 0) -> ParsedAnswer:
        """Take a finished answer apart, whatever its text shows of special tokens. Without a parser all is content.

        Raises:
            RequestError: as `parser`; or the request has failed.
        """
        if request.error is not None:
            raise RequestError(f"there is no answer to parse: {request.error}")
        parsed = parse_sequence(request, sequence, self.parts.tokenizer, self.manager.registry)
        return ParsedAnswer(request.sequences[sequence].text, "", ()) if parsed is None else parsed

    def message(self, request: InferenceRequest, sequence: int = 0) -> Message | None:
        """An answer as a message of its conversation, where the request asks for that and a parser knows how."""
        if request.error is not None or not asks_for_parser(request):
            return None
        parsed = parse_sequence(request, sequence, self.parts.tokenizer, self.manager.registry)
        return None if parsed is None else parsed.to_message()

    def close(self) -> None:
        """End the other ranks of an interactive job, leave the job, and free memory even while references exist."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
            self.control.gate.open()  # those who wait for it hear that the model is closed
            device = self.parts.runtime.device
            try:
                if not self.parts.runtime.world.abandoned:
                    self.engine.close()
            finally:
                self.parts.runtime.close()
                self.engine = ClosedEngine()
                self.parts = replace(self.parts, checkpoint=None, wrapper=None, samplers=(), controller=None)
                release_memory(device)

    def _usable_engine(self) -> Engine:
        self._check_usable()
        return self.engine

    def _check_usable(self) -> None:
        world = self.parts.runtime.world
        if world.size > 1 and not world.interactive and threading.get_ident() != self._thread:
            raise ParallelError("the ranks of torchrun plan their steps in one order: use the model from one thread")
        if self._closed or self.parts.runtime.world.abandoned:
            raise ParallelError("this model is closed, or has lost its ranks: make a new one")

    def _stats(self) -> dict[str, float]:
        stats = self.engine.stats
        return {} if stats is None else asdict(stats)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _in_one_piece(request: InferenceRequest) -> Iterator[RequestOutput]:
    """What a request that was run elsewhere has come to, an output for each of its sequences."""
    if not request.sequences:
        yield RequestOutput(request, 0, "", (), request.finish_reason or FinishReason.ABORT)
    for sequence in request.sequences:
        tokens, log_probs = tuple(sequence.tokens), tuple(sequence.log_probs)
        yield RequestOutput(request, sequence.index, sequence.text, tokens, sequence.finish_reason, log_probs)


def is_loss(error: BaseException) -> bool:
    """Whether a collective has failed because another rank is gone: gloo has no class of errors of its own."""
    return isinstance(error, RuntimeError) and "Connection" in str(error)
