"""Which replica has which request; what becomes of those of a replica that is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from plugtron.contracts.stats import EngineStats
from plugtron.errors import ParallelError, PlugtronError
from plugtron.integrations.replicas.link import ReplicaLink, ReplicaLost
from plugtron.integrations.replicas.messages import Delta, Prepared, ReplicaFacts, Report, Submission
from plugtron.integrations.replicas.orders import Orders
from plugtron.request.request import InferenceRequest
from plugtron.routing.router import Router

__all__ = ["Dispatcher", "Listener"]

#: How many replicas may be lost over one request before it is taken for what ends them.
_ATTEMPTS = 4
#: Seconds that replicas get to let go of their models.
_CLOSE_S = 30.0


class Listener(Protocol):
    """Who is told what becomes of requests, from the dispatcher's event loop."""

    def receive(self, deltas: Sequence[Delta]) -> None:
        """Replicas have added something to requests."""
        ...

    def fail(self, number: int, reason: str) -> None:
        """A request has failed."""
        ...

    def end(self, error: ParallelError) -> None:
        """There is no replica, and there will be none."""
        ...


@dataclass(slots=True, eq=False)
class _Place:
    """A replica, and the requests that it has. `reader` counts its beginnings; `lost` is set when the present one ends.

    A replica that is `gone` does not come back, for that reason.
    """

    index: int
    link: ReplicaLink
    stats: EngineStats | None = None
    up: bool = False
    gone: str = ""
    reader: int = 0
    lost: asyncio.Event = field(default_factory=asyncio.Event)
    open: dict[int, InferenceRequest] = field(default_factory=dict)


class Dispatcher:
    """Sends requests to replicas, each to one; to another one when that is lost before anything of the answer has come.

    Of one event loop, but for `stats` and `why_not_ready`, which any thread may ask.

    Args:
        router: chooses; at first all replicas are there for it.
        orders: what replicas that come back are to be made like.
    """

    def __init__(self, links: Sequence[ReplicaLink], router: Router, orders: Orders, listener: Listener) -> None:
        self._places = [_Place(index, link) for index, link in enumerate(links)]
        self._router = router
        self._orders = orders
        self._listener = listener
        self._waiting: dict[int, InferenceRequest] = {}
        self._where: dict[int, _Place] = {}
        # Requests of which something has come, and how many replicas the others have lost.
        self._begun: set[int] = set()
        self._losses: dict[int, int] = {}
        # Set while there is a replica, and when there will be none any more.
        self._settled = asyncio.Event()
        self._past: list[EngineStats] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._error: ParallelError | None = None

    def start(self, facts: Sequence[ReplicaFacts]) -> None:
        """Begin with replicas that are ready."""
        for place, fact in zip(self._places, facts, strict=True):
            place.stats = fact.stats
            reports = place.link.reports(place.reader)
            self._join(place)
            self._do(self._attend(place, reports))

    @property
    def stats(self) -> EngineStats | None:
        """Totals over all live replicas and over the past work of lost ones."""
        there = [place.stats for place in self._places if place.up]
        counted = [stats for stats in there if stats is not None]
        return EngineStats.total([*counted, *self._past]) if len(counted) == len(there) else None

    @property
    def why_not_ready(self) -> str:
        """Why no request can be answered at the moment."""
        return "" if any(place.up for place in self._places) else "all replicas are lost, and are being started again"

    async def prepare(self, request: InferenceRequest) -> Prepared:
        """Have a replica check and tokenize a request.

        Raises:
            PlugtronError: there is no replica any more, or this request loses one after the other.
        """
        for _ in range(_ATTEMPTS):
            place = await self._least_loaded()
            call = asyncio.ensure_future(place.link.prepare(request))
            lost = asyncio.ensure_future(place.lost.wait())
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
        """Send a request, which has been prepared and has its sequences, to a replica, as soon as there is one."""
        assert request.id is not None
        if self._error is not None:
            self._listener.fail(request.id, str(self._error))
        elif not any(place.up for place in self._places):
            self._waiting[request.id] = request
        else:
            place = self._places[self._router.choose(request)]
            place.open[request.id] = request
            self._where[request.id] = place
            self._do(self._add(place, request.id, _submission(request)))

    def abort(self, number: int) -> None:
        """Have a request end, of which nothing is told any more."""
        self._waiting.pop(number, None)
        place = self._where.get(number)
        if place is not None:
            self._forget(number)
            self._do(self._abort(place, number))

    async def close(self) -> None:
        """End all replicas."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._end(ParallelError("the replicas have been ended"))
        closing = [asyncio.ensure_future(place.link.close()) for place in self._places if place.up]
        if closing:
            # A replica that does not end in time is still computing: its results are not needed.
            await asyncio.wait(closing, timeout=_CLOSE_S)
        for place in self._places:
            place.link.end()

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _attend(self, place: _Place, reports: Any) -> None:
        """Take what a replica reports, over all its beginnings."""
        while True:
            self._lose(place, await self._read(place, reports))
            while not place.gone and not place.up:
                place.gone = await place.link.await_return()
                if place.gone:
                    break
                async with self._orders.lock:  # no order is given meanwhile, which it would miss
                    try:
                        await self._orders.bring(place.link)
                        place.stats = (await place.link.ready()).stats
                    except ReplicaLost:
                        continue
                    except PlugtronError as error:
                        place.gone = str(error)
                        break
                    reports = place.link.reports(place.reader)
                    self._join(place)
            if place.gone:
                self._check_any_left()
                return

    async def _read(self, place: _Place, reports: Any) -> str:
        """Take reports until they end; return why."""
        try:
            async for report in reports:
                self._receive(place, report)
        except ReplicaLost as error:
            return str(error)
        # Its engine has failed, or it has a defect: whatever that is, another process may do better.
        except Exception as error:
            place.link.restart()
            return str(error)
        return "it has ended"

    def _receive(self, place: _Place, report: Report) -> None:
        place.stats = report.stats
        deltas = [delta for delta in report.deltas if delta.number in place.open]
        for delta in deltas:
            if delta.state is not None and delta.state.over:
                self._forget(delta.number)
            else:
                self._begun.add(delta.number)
        if deltas:
            self._listener.receive(deltas)

    def _join(self, place: _Place) -> None:
        place.up, place.lost = True, asyncio.Event()
        self._orders.links.add(place.link)
        self._settled.set()
        if place.reader:  # the router knows of its first beginning
            self._router.join(place.index)
        waiting, self._waiting = self._waiting, {}
        for request in waiting.values():
            self.submit(request)

    def _lose(self, place: _Place, reason: str) -> None:
        """Take a replica out, and send its requests to others as far as nothing has come of them."""
        place.up, place.reader = False, place.reader + 1
        place.lost.set()
        self._orders.links.discard(place.link)
        if not any(other.up for other in self._places):
            self._settled.clear()
        if place.stats is not None:
            self._past.append(place.stats.ended)
            place.stats = None
        requests = dict(place.open)
        begun = self._begun & requests.keys()
        losses = {number: self._losses.get(number, 0) + 1 for number in requests}
        for number in requests:
            self._forget(number)
        self._router.leave(place.index)
        for number, request in requests.items():
            if number in begun or losses[number] >= _ATTEMPTS:
                self._listener.fail(number, f"replica {place.index} was lost while it answered: {reason}")
            else:
                self._losses[number] = losses[number]
                self.submit(request)

    def _forget(self, number: int) -> None:
        """Take note that a request is over, or its replica lost."""
        place = self._where.pop(number)
        del place.open[number]
        self._begun.discard(number)
        self._losses.pop(number, None)
        self._router.ended(place.index)

    async def _add(self, place: _Place, number: int, submission: Submission) -> None:
        reader = place.reader
        try:
            await place.link.add(reader, submission)
        except ReplicaLost:
            return  # which whoever reads its reports finds, too
        # Such as what cannot be sent.
        except Exception as error:
            if place.reader == reader and number in place.open:
                self._forget(number)
                self._listener.fail(number, f"{type(error).__name__}: {error}")

    async def _abort(self, place: _Place, number: int) -> None:
        try:
            await place.link.abort(place.reader, number)
        except ReplicaLost:
            return  # and the request with it

    async def _least_loaded(self) -> _Place:
        await self._settled.wait()
        if self._error is not None:
            raise self._error
        return min((place for place in self._places if place.up), key=lambda place: len(place.open))

    def _check_any_left(self) -> None:
        if all(place.gone for place in self._places):
            reasons = "; ".join(dict.fromkeys(place.gone for place in self._places))
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
