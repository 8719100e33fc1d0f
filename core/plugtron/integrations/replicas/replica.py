"""A replica of a model as a Ray actor: it runs the requests that it is sent, and reports their outputs."""

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
    Command,
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
class _LoadedModel:
    session: Session
    engine: AsyncEngine


class EngineReplica:
    """Loads its model, and starts the other ranks on its node, at the first call. Its methods share one event loop.

    Observers run in the server's process alone.

    Args:
        spec: written by `send_spec`.
    """

    def __init__(self, spec: str) -> None:
        self._spec = spec
        self._open = AsyncExitStack()
        self._beginning = asyncio.Lock()
        self._model: _LoadedModel | None = None
        self._failure: Exception | None = None
        # As the server counts; requests sent to an earlier incarnation are dropped.
        self._incarnation = -1
        self._outbox: Outbox | None = None
        self._tasks: dict[int, asyncio.Task[None]] = {}

    async def ready(self) -> ReplicaFacts:
        """Return when the model is loaded.

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

    async def reports(self, incarnation: int) -> AsyncIterator[Report]:
        """Report outputs of all requests that are sent from now on, until the engine fails.

        Raises:
            PlugtronError: the engine has failed.
        """
        session = (await self._loaded()).session
        for task in self._tasks.values():
            task.cancel()
        self._incarnation, self._outbox = incarnation, Outbox(lambda: session.engine.stats)
        while True:
            if self._failure is not None:
                raise self._failure
            yield await self._outbox.fetch()

    async def add(self, incarnation: int, submission: Submission) -> None:
        """Run a request; its outputs go to `reports`."""
        if incarnation == self._incarnation and self._model is not None and self._outbox is not None:
            running = self._run(submission, self._model.engine, self._outbox)
            self._tasks[submission.number] = asyncio.ensure_future(running)

    async def abort(self, incarnation: int, number: int) -> None:
        """Abort a request; nothing more is reported of it."""
        if incarnation == self._incarnation and number in self._tasks:
            self._tasks[number].cancel()

    async def execute(self, command: Command) -> None:
        """Execute a command between two steps.

        Raises:
            PlugtronError: it cannot be done; the replica goes on as before.
        """
        session = (await self._loaded()).session
        await asyncio.to_thread(_execute, session, command)

    async def close(self) -> None:
        """Release the model."""
        await self._open.aclose()

    async def _loaded(self) -> _LoadedModel:
        async with self._beginning:
            if self._model is None:
                session = self._open.enter_context(await asyncio.to_thread(self._load))
                loop = asyncio.get_running_loop()

                def failed(error: Exception) -> None:
                    loop.call_soon_threadsafe(self._fail, error)

                engine = AsyncEngine(session, on_failure=failed)
                self._model = _LoadedModel(session, self._open.enter_context(engine))
            return self._model

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
    """The engine's request; a replica has checked and tokenized it before."""
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


def _execute(session: Session, command: Command) -> None:
    control = session.control
    if isinstance(command, Pause):
        control.pause()
    elif isinstance(command, Resume):
        control.resume()
    elif isinstance(command, Sleep):
        control.sleep(weights=command.weights)
    elif isinstance(command, Wake):
        control.wake()
    else:
        assert session.resolved.model is not None
        path = session.resolved.model.path if command.path is None else command.path
        control.update_weights(path, version=command.version, recompute=command.recompute)
