"""An engine in a thread of its own, for callers that await what it generates."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Self

from plugtron.contracts.engine import Steps
from plugtron.engine.output_queue import OutputQueue, wake
from plugtron.errors import EngineError, ParallelError
from plugtron.request.request import InferenceRequest, RequestOutput

__all__ = ["AsyncEngine"]

#: After how many failing steps in a row an engine is taken for broken.
_PATIENCE = 100
_CLOSED = "this AsyncEngine is closed, or its engine is broken"


class AsyncEngine:
    """Steps an engine for as long as it has something to do, and hands what comes of it to whoever waits for it.

        with LLM("smollm2-135m-instruct", engine="dynamic") as llm, AsyncEngine(llm.session) as engine:
            async for output in engine.stream(InferenceRequest(prompt="Hello")):
                print(output.text, end="")

    Other threads may go on using the engine, or the LLM it belongs to. A slow reader holds nothing up: outputs that it
    has not taken are merged. A request that fails says so in `request.error`; the others go on.

    Args:
        engine: an engine, or a session; it stays the caller's to close.
        on_failure: is told, from the engine's thread, why the engine cannot go on.
    """

    def __init__(self, engine: Steps, *, on_failure: Callable[[Exception], None] | None = None) -> None:
        self._engine = engine
        self._on_failure = on_failure
        self._changed = threading.Condition()
        self._incoming: list[Callable[[], None]] = []
        self._closing = False
        # Of the thread alone.
        self._queues: dict[int, OutputQueue] = {}
        self._fruitless = 0
        self._thread = threading.Thread(target=self._run, name="plugtron-async-engine", daemon=True)
        engine.notify(self._look_again)
        self._thread.start()

    async def stream(self, request: InferenceRequest, *, whole: bool = False) -> AsyncGenerator[RequestOutput, None]:
        """Run a request and yield what is added to it: text, tokens and log probabilities since the last output.

        The last output of each sequence has its finish reason. Leaving the loop early aborts the request.

        Args:
            whole: whether there is one output for each sequence, at the end, which costs the event loop less.

        Raises:
            RequestError: the request has been added before.
            EngineError: it is closed, or its engine is broken.
        """
        queue = OutputQueue(asyncio.get_running_loop(), whole=whole)
        if self._closing:
            raise EngineError(_CLOSED)
        if not request.prepared:
            # Templates and tokenizers are strangers' code: they have a thread of their own, not the engine's.
            await asyncio.to_thread(self._engine.prepare_request, request)
        self._send(lambda: self._add(request, queue))
        try:
            while not queue.over:
                for output in await queue.take():
                    yield output
        finally:
            if not queue.over:
                self._send_if_open(lambda: self._abort(request, queue))

    async def generate(self, request: InferenceRequest) -> InferenceRequest:
        """Run a request to its end.

        Raises:
            RequestError, EngineError: as `stream`.
        """
        async for _ in self.stream(request, whole=True):
            pass
        return request

    def close(self) -> None:
        """Abort what is unfinished and end the thread."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _look_again(self) -> None:
        with self._changed:
            self._changed.notify()

    def _send(self, command: Callable[[], None]) -> None:
        if not self._send_if_open(command):
            raise EngineError(_CLOSED)

    def _send_if_open(self, command: Callable[[], None]) -> bool:
        """Have the thread do something between two steps."""
        with self._changed:
            if self._closing:
                return False
            self._incoming.append(command)
            self._changed.notify()
        return True

    def _run(self) -> None:
        error: Exception = EngineError("the AsyncEngine was closed")
        failed = True
        try:
            while self._take_commands():
                self._step()
            failed = False
        # Whatever it is, those who wait must hear of it, below.
        except Exception as fatal:
            error = fatal
        except BaseException as fatal:
            error = EngineError(f"the engine's thread has ended: {type(fatal).__name__}: {fatal}")
        with self._changed:
            self._closing = True
            late, self._incoming = self._incoming, []
        for command in late:
            command()
        for queue in self._queues.values():
            queue.fail(error)
        for request_id in self._queues:
            self._engine.abort_request(request_id)
        if failed and self._on_failure is not None:
            self._on_failure(error)

    def _take_commands(self) -> bool:
        """Do what callers want done, having waited for it when there is nothing else; False: it is closing."""
        with self._changed:
            while not (self._closing or self._incoming or self._engine.has_unfinished_requests):
                self._changed.wait()
            commands, self._incoming = self._incoming, []
            closing = self._closing
        for command in commands:
            command()
        return not closing

    def _step(self) -> None:
        """Do a step and deliver what it yields."""
        try:
            outputs = self._engine.step() if self._engine.has_unfinished_requests else ()
        except ParallelError:
            raise  # without its other ranks an engine can do nothing more
        except Exception:
            # An engine fails the requests that were in a failing step, so that each is told by its own output, and
            # sooner or later none is left. One that only fails is broken.
            self._fruitless += 1
            if self._fruitless > _PATIENCE:
                raise
            return
        self._fruitless = 0
        touched: dict[int, OutputQueue] = {}
        for output in outputs:
            request_id = output.request.id
            if request_id in self._queues:
                queue = self._queues[request_id]
                is_last = queue.put(output)
                if is_last:
                    del self._queues[request_id]
                if is_last or not queue.whole:
                    touched[request_id] = queue
        wake(touched.values())

    def _add(self, request: InferenceRequest, queue: OutputQueue) -> None:
        try:
            self._queues[self._engine.add_request(request)] = queue
        except Exception as error:  # the caller's, where it waits
            queue.fail(error)

    def _abort(self, request: InferenceRequest, queue: OutputQueue) -> None:
        # Not when it was refused, or has ended in the meantime.
        if request.id is not None and self._queues.get(request.id) is queue:
            del self._queues[request.id]
            self._engine.abort_request(request.id)
