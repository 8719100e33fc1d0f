"""Sends requests to replicas, and sends them elsewhere when a replica is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from plugtron.contracts.stats import EngineStats
from plugtron.errors import ParallelError, PlugtronError
from plugtron.integrations.replicas.control import ReplicaControl
from plugtron.integrations.replicas.link import ReplicaLink, ReplicaLost
from plugtron.integrations.replicas.messages import Delta, Prepared, ReplicaFacts, Report, Submission
from plugtron.request.request import InferenceRequest
from plugtron.routing.router import Router

__all__ = ["Dispatcher", "Listener"]

#: How many replicas may be lost with one request before that request is failed as the likely cause.
_ATTEMPTS = 4
#: Seconds that replicas get to release their models.
_CLOSE_S = 30.0


class Listener(Protocol):
    """Is told about the progress of requests; called from the dispatcher's event loop."""

    def receive(self, deltas: Sequence[Delta]) -> None:
        """Replicas have sent outputs."""
        ...

    def fail(self, number: int, reason: str) -> None:
        """A request has failed."""
        ...

    def end(self, error: ParallelError) -> None:
        """All replicas are lost for good."""
        ...


@dataclass(slots=True, eq=False)
class _Replica:
    """A replica and its open requests.

    `incarnation` counts its restarts, and `lost` is set when the present one ends. `gone` says why it does not come
    back; empty: it may.
    """

    index: int
    link: ReplicaLink
    stats: EngineStats | None = None
    up: bool = False
    gone: str = ""
    incarnation: int = 0
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    open: dict[int, InferenceRequest] = field(default_factory=dict)


class Dispatcher:
    """Sends each request to one replica, and to another if that is lost before the first output.

    Used from one event loop, but for `stats` and `why_not_ready`, which any thread may read.

    Args:
        router: chooses a replica for each request; all replicas must be live in it.
        control: restores the state of replicas that are restarted.
    """

    def __init__(
        self, links: Sequence[ReplicaLink], router: Router, control: ReplicaControl, listener: Listener
    ) -> None:
        self._replicas = [_Replica(index, link) for index, link in enumerate(links)]
        self._router = router
        self._control = control
        self._listener = listener
        self._waiting: dict[int, InferenceRequest] = {}
        self._where: dict[int, _Replica] = {}
        # Requests with outputs, which cannot be sent again; and with how many replicas each of the others was lost.
        self._begun: set[int] = set()
        self._losses: dict[int, int] = {}
        # Set while a replica is live, and when all are gone for good.
        self._settled = asyncio.Event()
        self._past: list[EngineStats] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: ParallelError | None = None

    def start(self, facts: Sequence[ReplicaFacts]) -> None:
        """Start with replicas that are ready."""
        for replica, fact in zip(self._replicas, facts, strict=True):
            replica.stats = fact.stats
            reports = replica.link.reports(replica.incarnation)
            self._join(replica)
            self._do(self._attend(replica, reports))

    @property
    def stats(self) -> EngineStats | None:
        """Totals over all live replicas and the past work of lost ones."""
        live = [replica.stats for replica in self._replicas if replica.up]
        counted = [stats for stats in live if stats is not None]
        return EngineStats.total([*counted, *self._past]) if len(counted) == len(live) else None

    @property
    def why_not_ready(self) -> str:
        """Why no request can be answered now; empty: one can."""
        live = any(replica.up for replica in self._replicas)
        return "" if live else "all replicas are lost, and are being started again"

    async def prepare(self, request: InferenceRequest) -> Prepared:
        """Have a replica check and tokenize a request.

        Raises:
            PlugtronError: all replicas are gone, or one after the other is lost with this request.
        """
        for _ in range(_ATTEMPTS):
            replica = await self._least_loaded()
            call = asyncio.ensure_future(replica.link.prepare(request))
            lost = asyncio.ensure_future(replica.lost.wait())
            await asyncio.wait((call, lost), return_when=asyncio.FIRST_COMPLETED)
            lost.cancel()
            if not call.done():
                call.cancel()
                continue
            try:
                return call.result()
            except ReplicaLost:
                continue
        raise ParallelError(f"{_ATTEMPTS} replicas in turn were lost while they tokenized one request")

    def submit(self, request: InferenceRequest) -> None:
        """Send a prepared request, which has its sequences, to a replica as soon as one is live."""
        assert request.id is not None
        if self._error is not None:
            self._listener.fail(request.id, str(self._error))
        elif not any(replica.up for replica in self._replicas):
            self._waiting[request.id] = request
        else:
            replica = self._replicas[self._router.choose(request)]
            replica.open[request.id] = request
            self._where[request.id] = replica
            self._do(self._add(replica, request.id, _submission(request)))

    def abort(self, number: int) -> None:
        """Abort a request; the listener hears no more of it."""
        self._waiting.pop(number, None)
        replica = self._where.get(number)
        if replica is not None:
            self._forget(number)
            self._do(self._abort(replica, number))

    async def close(self) -> None:
        """End all replicas."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._end(ParallelError("the replicas have been ended"))
        closing = [asyncio.ensure_future(replica.link.close()) for replica in self._replicas if replica.up]
        if closing:
            # One that does not end in time is still computing; its results are not needed.
            await asyncio.wait(closing, timeout=_CLOSE_S)
        for replica in self._replicas:
            replica.link.end()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, replica: _Replica, reports: Any) -> None:
        """Read what a replica reports, over all its incarnations."""
        while True:
            self._lose(replica, await self._read(replica, reports))
            while not replica.gone and not replica.up:
                replica.gone = await replica.link.await_return()
                if replica.gone:
                    break
                async with self._control.lock:  # a command sent meanwhile would miss it
                    try:
                        await self._control.restore(replica.link)
                        replica.stats = (await replica.link.ready()).stats
                    except ReplicaLost:
                        continue
                    except PlugtronError as error:
                        replica.gone = str(error)
                        break
                    reports = replica.link.reports(replica.incarnation)
                    self._join(replica)
            if replica.gone:
                self._check_any_left()
                return

    async def _read(self, replica: _Replica, reports: Any) -> str:
        """Read reports until they end; return why they did."""
        try:
            async for report in reports:
                self._receive(replica, report)
        except ReplicaLost as error:
            return str(error)
        # Its engine has failed, or its code has a defect: a new process may work.
        except Exception as error:
            replica.link.restart()
            return str(error)
        return "it has ended"

    def _receive(self, replica: _Replica, report: Report) -> None:
        replica.stats = report.stats
        deltas = [delta for delta in report.deltas if delta.number in replica.open]
        for delta in deltas:
            if delta.state is not None and delta.state.over:
                self._forget(delta.number)
            else:
                self._begun.add(delta.number)
        if deltas:
            self._listener.receive(deltas)

    def _join(self, replica: _Replica) -> None:
        replica.up, replica.lost = True, asyncio.Event()
        self._control.links.add(replica.link)
        self._settled.set()
        if replica.incarnation:  # the router starts with all replicas
            self._router.join(replica.index)
        waiting, self._waiting = self._waiting, {}
        for request in waiting.values():
            self.submit(request)

    def _lose(self, replica: _Replica, reason: str) -> None:
        """Remove a replica, and send its requests to others; those with outputs fail."""
        replica.up, replica.incarnation = False, replica.incarnation + 1
        replica.lost.set()
        self._control.links.discard(replica.link)
        if not any(other.up for other in self._replicas):
            self._settled.clear()
        if replica.stats is not None:
            self._past.append(replica.stats.ended)
            replica.stats = None
        requests = dict(replica.open)
        begun = self._begun & requests.keys()
        losses = {number: self._losses.get(number, 0) + 1 for number in requests}
        for number in requests:
            self._forget(number)
        self._router.leave(replica.index)
        for number, request in requests.items():
            if number in begun or losses[number] >= _ATTEMPTS:
                self._listener.fail(number, f"replica {replica.index} was lost while it answered: {reason}")
            else:
                self._losses[number] = losses[number]
                self.submit(request)

    def _forget(self, number: int) -> None:
        """Drop the record of a request that is over, or whose replica is lost."""
        replica = self._where.pop(number)
        del replica.open[number]
        self._begun.discard(number)
        self._losses.pop(number, None)
        self._router.ended(replica.index)

    async def _add(self, replica: _Replica, number: int, submission: Submission) -> None:
        incarnation = replica.incarnation
        try:
            await replica.link.add(incarnation, submission)
        except ReplicaLost:
            return  # handled where its reports are read
        # For instance, the request cannot be pickled.
        except Exception as error:
            if replica.incarnation == incarnation and number in replica.open:
                self._forget(number)
                self._listener.fail(number, f"{type(error).__name__}: {error}")

    async def _abort(self, replica: _Replica, number: int) -> None:
        try:
            await replica.link.abort(replica.incarnation, number)
        except ReplicaLost:
            return  # the request is lost with it

    async def _least_loaded(self) -> _Replica:
        await self._settled.wait()
        if self._error is not None:
            raise self._error
        return min((replica for replica in self._replicas if replica.up), key=lambda replica: len(replica.open))

    def _check_any_left(self) -> None:
        if all(replica.gone for replica in self._replicas):
            reasons = "; ".join(dict.fromkeys(replica.gone for replica in self._replicas))
            self._end(ParallelError(f"all replicas are gone, and do not come back: {reasons}"))

    def _end(self, error: ParallelError) -> None:
        self._error = self._error or error
        self._settled.set()
        self._listener.end(self._error)


def _submission(request: InferenceRequest) -> Submission:
    assert request.id is not None
    params, deadline = request.params, request.deadline
    repeated = isinstance(request.prompt, str) and params.echo
    return Submission(
        number=request.id,
        prompt=request.prompt if repeated and isinstance(request.prompt, str) else request.prompt_tokens,
        tokens=request.prompt_tokens,
        params=params.model_copy(update={"seed": request.sequences[0].seed}),
        priority=request.priority,
        deadline=None if deadline is None else max(0.0, request.arrival + deadline - time.perf_counter()),
        cache_salt=request.cache_salt,
    )
