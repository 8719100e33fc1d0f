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
from plugtron.integrations.replicas.dispatcher import Dispatcher
from plugtron.integrations.replicas.link import ReplicaLink, ReplicaLost
from plugtron.integrations.replicas.loop_thread import LoopThread
from plugtron.integrations.replicas.messages import Delta, ReplicaFacts
from plugtron.integrations.replicas.orders import Orders
from plugtron.integrations.replicas.received import apply
from plugtron.request.request import FinishReason, InferenceRequest, RequestOutput
from plugtron.routing.router import Router

__all__ = ["ReplicaEngine"]

T = TypeVar("T")


class ReplicaEngine(Engine):
    """Numbers requests and gives them seeds as one engine would, has replicas run them, and tells what they add.

    Its steps compute nothing: they hand out what has come, and there is one to do whenever something has (`notify`).

    Args:
        links: replicas, which load their models now.
        routing: makes the router, of what the first replica says of itself.
        seed: what requests without a seed of their own derive theirs from.
        on_close: is called when the replicas have been ended.

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
        # What has come since the last step.
        self._deltas: list[Delta] = []
        self._completed: list[InferenceRequest] = []
        self._error: ParallelError | None = None
        self._listeners: list[Callable[[], None]] = []
        self._closed = False
        self._loop = LoopThread("plugtron-replicas")
        try:
            self._facts, self._dispatcher, self._orders = self._loop.call(self._begin(links, routing))
        except BaseException:
            self._loop.close()
            raise

    async def _begin(
        self, links: Sequence[ReplicaLink], routing: Callable[[ReplicaFacts], Router]
    ) -> tuple[ReplicaFacts, Dispatcher, Orders]:
        try:
            facts = await asyncio.gather(*(link.ready() for link in links))
        except ReplicaLost as error:
            raise ParallelError(f"a replica was lost while it loaded its model: {error}") from None
        orders = Orders()
        dispatcher = Dispatcher(links, routing(facts[0]), orders, self)
        dispatcher.start(facts)
        return facts[0], dispatcher, orders

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
        """Whether something has come that `step` has not handed out."""
        return bool(self._deltas or self._completed or self._error)

    def step(self) -> Sequence[RequestOutput]:
        """Hand out what has come.

        Raises:
            ParallelError: there is no replica, and there will be none.
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
        """Replicas have added something to requests."""
        with self._turn:
            self._deltas += deltas
        self._tell()

    def fail(self, number: int, reason: str) -> None:
        """A request has failed."""
        with self._turn:
            request = self._open.pop(number, None)
            if request is not None:
                request.fail(reason)
                self._completed.append(request)
        self._tell()

    def end(self, error: ParallelError) -> None:
        """There is no replica, and there will be none."""
        self._error = error
        self._tell()

    def notify(self, callback: Callable[[], None]) -> None:
        """Have `callback` called, from any thread, when something has come."""
        self._listeners.append(callback)

    @property
    def closed(self) -> bool:
        """Whether it has been closed."""
        return self._closed

    @property
    def max_sequence_length(self) -> int | None:
        """How long a sequence may get, as the replicas say."""
        return self._facts.max_sequence_length

    @property
    def why_not_ready(self) -> str:
        """Why no request can be answered at the moment."""
        return self._dispatcher.why_not_ready

    @property
    def stats(self) -> EngineStats | None:
        """The sums of what the replicas count."""
        return self._dispatcher.stats

    @property
    def weights_version(self) -> int:
        """Which weights the replicas use."""
        return self._orders.weights.version

    def update_weights(self, path: Path, *, version: int | None = None, recompute: bool = True) -> None:
        """Have all replicas use other weights, or none."""
        self._call(self._orders.update_weights(path, version=version, recompute=recompute))

    def sleep(self, *, weights: bool = False) -> None:
        """Have all replicas give memory back, or none."""
        self._call(self._orders.sleep(weights=weights))

    def wake(self) -> None:
        """Have all replicas take memory again, or none."""
        self._call(self._orders.wake())

    def pause(self) -> None:
        """Have all replicas do no more steps."""
        self._call(self._orders.pause())

    def resume(self) -> None:
        """Have all replicas do steps again."""
        self._call(self._orders.resume())

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
