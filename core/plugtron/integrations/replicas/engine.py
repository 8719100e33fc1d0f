"""The engine of a server whose requests are run by replicas."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeVar

from plugtron.contracts.engine import Engine
from plugtron.contracts.stats import EngineStats
from plugtron.engine.output_collector import OutputCollector
from plugtron.engine.seeds import RequestSeeds
from plugtron.errors import ParallelError, PlugtronError, RequestError
from plugtron.integrations.replicas.control import ReplicaControl
from plugtron.integrations.replicas.dispatcher import Dispatcher
from plugtron.integrations.replicas.link import ReplicaLink, ReplicaLost
from plugtron.integrations.replicas.loop_thread import LoopThread
from plugtron.integrations.replicas.messages import Delta, ReplicaFacts
from plugtron.integrations.replicas.received import apply
from plugtron.request.request import FinishReason, InferenceRequest, RequestOutput
from plugtron.routing.router import Router

__all__ = ["ReplicaEngine"]

T = TypeVar("T")


class ReplicaEngine(Engine):
    """Numbers requests and seeds them as any engine, and has replicas run them.

    Its steps compute nothing: they return the outputs that have arrived; `notify` says when there are any.

    Args:
        links: replicas, which load their models now.
        routing: makes the router from the facts of the first replica.
        seed: seeds of requests that have none derive from it.
        on_close: called when the replicas have ended.

    Raises:
        PlugtronError: a replica cannot load its model.
    """

    def __init__(
        self,
        links: Sequence[ReplicaLink],
        routing: Callable[[ReplicaFacts], Router],
        *,
        seed: int | None,
        on_close: Callable[[], None] | None = None,
    ) -> None:
        self._on_close = on_close
        self._seeds = RequestSeeds(seed, fresh=secrets.randbits(63))
        self._next_id = 0
        self._turn = threading.Lock()
        self._open: dict[int, InferenceRequest] = {}
        self._reports = OutputCollector()
        # What has arrived since the last step.
        self._deltas: list[Delta] = []
        self._completed: list[InferenceRequest] = []
        self._error: ParallelError | None = None
        self._listeners: list[Callable[[], None]] = []
        self._closed = False
        self._loop = LoopThread("plugtron-replicas")
        try:
            self._facts, self._dispatcher, self._control = self._loop.call(self._begin(links, routing))
        except BaseException:
            self._loop.close()
            raise

    async def _begin(
        self, links: Sequence[ReplicaLink], routing: Callable[[ReplicaFacts], Router]
    ) -> tuple[ReplicaFacts, Dispatcher, ReplicaControl]:
        try:
            facts = await asyncio.gather(*(link.ready() for link in links))
        except ReplicaLost as error:
            raise ParallelError(f"a replica was lost while it loaded its model: {error}") from None
        control = ReplicaControl()
        dispatcher = Dispatcher(links, routing(facts[0]), control, self)
        dispatcher.start(facts)
        return facts[0], dispatcher, control

    def prepare_request(self, request: InferenceRequest) -> None:
        """Have a replica check a request and tokenize its prompt."""
        if request.id is not None or request.prepared or request.error is not None:
            return
        request.arrival = time.perf_counter()
        try:
            prepared = self._call(self._dispatcher.prepare(request))
        except PlugtronError as error:
            request.fail(str(error))
        else:
            request.prompt_tokens, request.params = prepared.tokens, prepared.params
            if prepared.error is not None:
                request.fail(prepared.error, refused=prepared.refused)
        request.prepared = True

    def add_request(self, request: InferenceRequest) -> int:
        """Send a request to a replica; one that cannot run is failed with the reason."""
        self.prepare_request(request)
        with self._turn:
            if self._closed:
                raise ParallelError("this engine is closed")
            if request.id is not None:
                raise RequestError("this request has been added before: make a new one for another run")
            request.id, self._next_id = self._next_id, self._next_id + 1
            if request.error is not None:
                self._completed.append(request)
                return request.id
            self._seeds.begin_sequences(request)
            self._open[request.id] = request
        self._loop.post(self._dispatcher.submit, request)
        return request.id

    def abort_request(self, request_id: int) -> bool:
        """End a request, and have its replica let go of it."""
        with self._turn:
            request = self._open.pop(request_id, None)
            if request is None:
                return False
            for sequence in request.sequences:
                sequence.finish_reason = sequence.finish_reason or FinishReason.ABORT
            request.finished = time.perf_counter()
            self._completed.append(request)
        self._loop.post(self._dispatcher.abort, request_id)
        self._tell()
        return True

    @property
    def has_unfinished_requests(self) -> bool:
        """Whether something has arrived that `step` has not returned."""
        return bool(self._deltas or self._completed or self._error)

    def step(self) -> Sequence[RequestOutput]:
        """Return the outputs that have arrived.

        Raises:
            ParallelError: all replicas are lost for good.
        """
        with self._turn:
            if self._error is not None:
                raise self._error
            deltas, self._deltas = self._deltas, []
            completed, self._completed = self._completed, []
            now, outputs = time.perf_counter(), list[RequestOutput]()
            for delta in deltas:
                request = self._open.get(delta.number)
                if request is None:  # it has been aborted
                    continue
                outputs.append(apply(delta, request, now))
                if delta.state is not None and delta.state.over:
                    del self._open[delta.number]
                    completed.append(request)
            return self._reports.collect(outputs, completed)

    def receive(self, deltas: Sequence[Delta]) -> None:
        """Take outputs of replicas."""
        with self._turn:
            self._deltas += deltas
        self._tell()

    def fail(self, number: int, reason: str) -> None:
        """Fail a request."""
        with self._turn:
            request = self._open.pop(number, None)
            if request is not None:
                request.fail(reason)
                self._completed.append(request)
        self._tell()

    def end(self, error: ParallelError) -> None:
        """Fail all further steps: the replicas are lost for good."""
        self._error = error
        self._tell()

    def notify(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, from any thread, when something has arrived."""
        self._listeners.append(callback)

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._closed

    @property
    def max_sequence_length(self) -> int | None:
        """Longest sequence that a replica takes, in tokens."""
        return self._facts.max_sequence_length

    @property
    def why_not_ready(self) -> str:
        """Why no request can be answered now; empty: one can."""
        return self._dispatcher.why_not_ready

    @property
    def stats(self) -> EngineStats | None:
        """Totals over the replicas."""
        return self._dispatcher.stats

    @property
    def weights_version(self) -> int:
        """Which weights the replicas use."""
        return self._control.weights.version

    def update_weights(self, path: Path, *, version: int | None = None, recompute: bool = True) -> None:
        """Switch all replicas to other weights, or none."""
        self._call(self._control.update_weights(path, version=version, recompute=recompute))

    def sleep(self, *, weights: bool = False) -> None:
        """Release memory on all replicas, or on none."""
        self._call(self._control.sleep(weights=weights))

    def wake(self) -> None:
        """Allocate memory again on all replicas, or on none."""
        self._call(self._control.wake())

    def pause(self) -> None:
        """Stop running steps on all replicas."""
        self._call(self._control.pause())

    def resume(self) -> None:
        """Run steps again on all replicas."""
        self._call(self._control.resume())

    def close(self) -> None:
        """End the replicas."""
        with self._turn:
            if self._closed:
                return
            self._closed = True
        self._loop.call(self._dispatcher.close())
        self._loop.close()
        if self._on_close is not None:
            self._on_close()

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._closed:
            work.close()
            raise ParallelError("this engine is closed")
        return self._loop.call(work)

    def _tell(self) -> None:
        for listener in self._listeners:
            listener()
