"""A replica of a model as a Ray actor: an engine that is sent requests, and reports what comes of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass

from plugtron.assembly.sent_spec import receive_spec
from plugtron.assembly.session import Session
from plugtron.assembly.start import assemble
from plugtron.engine.async_engine import AsyncEngine
from plugtron.errors import PlugtronError
from plugtron.integrations.replicas.messages import (
    Order,
    Pause,
    Prepared,
    ReplicaFacts,
    Report,
    Resume,
    Sleep,
    Submission,
    Wake,
)
from plugtron.integrations.replicas.outbox import Outbox, RequestReporter
from plugtron.request.request import InferenceRequest

__all__ = ["EngineReplica"]


@dataclass(frozen=True, slots=True)
class _Loaded:
    session: Session
    engine: AsyncEngine


class EngineReplica:
    """Loads its model, and the other ranks with it, on its node, when it is first asked. Its methods share a loop.

    Observers are told nothing here: they are the server's.

    Args:
        spec: as `send_spec` has written it.
    """

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._open = AsyncExitStack()
        self._beginning = asyncio.Lock()
        self._there: _Loaded | None = None
        self._failure: Exception | None = None
        # Which reader of reports there is: requests that were sent for another one are nobody's.
        self._reader = -1
        self._outbox: Outbox | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def ready(self) -> ReplicaFacts:
        """Return when the model is there.

        Raises:
            PlugtronError: it cannot be loaded on this node.
        """
        engine = (await self._loaded()).session.engine
        return ReplicaFacts(max_sequence_length=engine.max_sequence_length, stats=engine.stats)

    async def prepare(self, request: InferenceRequest) -> Prepared:
        """Check a request and tokenize its prompt, as the engine does."""
        session = (await self._loaded()).session
        await asyncio.to_thread(session.prepare_request, request)
        return Prepared(
            tokens=request.prompt_tokens, params=request.params, error=request.error, refused=request.refused
        )

    async def reports(self, reader: int) -> AsyncIterator[Report]:
        """Report what comes of all requests that are sent from now on, until the engine fails.

        Raises:
            PlugtronError: the engine has failed.
        """
        session = (await self._loaded()).session
        for task in self._tasks.values():
            task.cancel()
        self._reader, self._outbox = reader, Outbox(lambda: session.engine.stats)
        while True:
            if self._failure is not None:
                raise self._failure
            yield await self._outbox.fetch()

    async def add(self, reader: int, submission: Submission) -> None:
        """Run a request; `reports` says what comes of it."""
        if reader == self._reader and self._there is not None and self._outbox is not None:
            running = self._run(submission, self._there.engine, self._outbox)
            self._tasks[submission.number] = asyncio.ensure_future(running)

    async def abort(self, reader: int, number: int) -> None:
        """End a request, of which nothing is reported any more."""
        if reader == self._reader and number in self._tasks:
            self._tasks[number].cancel()

    async def obey(self, order: Order) -> None:
        """Do something to the model as a whole, between two steps.

        Raises:
            PlugtronError: it cannot be done; all goes on as before.
        """
        session = (await self._loaded()).session
        await asyncio.to_thread(_obey, session, order)

    async def close(self) -> None:
        """Let go of the model."""
        await self._open.aclose()

    async def _loaded(self) -> _Loaded:
        async with self._beginning:
            if self._there is None:
                session = self._open.enter_context(await asyncio.to_thread(self._load))
                loop = asyncio.get_running_loop()

                def failed(error: Exception) -> None:
                    loop.call_soon_threadsafe(self._fail, error)

                engine = AsyncEngine(session, on_failure=failed)
                self._there = _Loaded(session, self._open.enter_context(engine))
            return self._there

    def _load(self) -> Session:
        resolved, manager = receive_spec(self._spec)
        return assemble(resolved, manager=manager, observed=False)

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        if self._outbox is not None:
            self._outbox.fail(self._failure)

    async def _run(self, submission: Submission, engine: AsyncEngine, outbox: Outbox) -> None:
        request = _request(submission)
        reporter = RequestReporter(submission.number, request)
        try:
            async with aclosing(engine.stream(request)) as outputs:
                async for output in outputs:
                    outbox.put(reporter.delta(output))
        except PlugtronError as error:
            outbox.put(reporter.failure(str(error)))
        finally:
            if self._tasks.get(submission.number) is asyncio.current_task():
                del self._tasks[submission.number]


def _request(submission: Submission) -> InferenceRequest:
    """A request as the engine takes it: it has been checked and tokenized by a replica like this one."""
    request = InferenceRequest(
        prompt=submission.prompt,
        params=submission.params,
        priority=submission.priority,
        deadline=submission.deadline,
        cache_salt=submission.cache_salt,
        prompt_tokens=submission.tokens,
    )
    request.prepared = True
    return request


def _obey(session: Session, order: Order) -> None:
    control = session.control
    if isinstance(order, Pause):
        control.pause()
    elif isinstance(order, Resume):
        control.resume()
    elif isinstance(order, Sleep):
        control.sleep(weights=order.weights)
    elif isinstance(order, Wake):
        control.wake()
    else:
        assert session.resolved.model is not None
        path = session.resolved.model.path if order.path is None else order.path
        control.update_weights(path, version=order.version, recompute=order.recompute)
