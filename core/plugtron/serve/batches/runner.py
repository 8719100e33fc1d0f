"""Running the batches that have not ended, beside what clients ask, and behind it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, BinaryIO, TypeVar

from plugtron.serve.batches.batch_table import Batch
from plugtron.serve.batches.bounded import work_on
from plugtron.serve.batches.finish import finish_batch
from plugtron.serve.batches.in_process import InProcess
from plugtron.serve.batches.line import BatchLine, numbered_lines, parse_line
from plugtron.serve.batches.record import answer_record
from plugtron.serve.batches.storage import StorageError
from plugtron.serve.batches.store import Store
from plugtron.serve.batches.validate import validate_input

__all__ = ["BatchRunner"]

_LOG = logging.getLogger("plugtron.serve")
_Result = TypeVar("_Result")
#: Below that of any request that says nothing of it.
_PRIORITY = -1
#: Seconds after which a disk that was full is tried again, and after which the log says so again.
_RETRY_S, _COMPLAIN_S = 2.0, 60.0


class BatchRunner:
    """Runs batches side by side; their requests take turns for a number of places.

    Args:
        endpoints: what answers.
        max_concurrent: requests at once, of all batches.
        max_body_bytes: of a request.
    """

    def __init__(self, store: Store, endpoints: InProcess, *, max_concurrent: int, max_body_bytes: int) -> None:
        self._store = store
        self._endpoints = endpoints
        self._max_concurrent = max_concurrent
        self._max_body_bytes = max_body_bytes
        self._places = asyncio.Semaphore(max_concurrent)
        self._cancelled: dict[str, asyncio.Event] = {}
        self._group: asyncio.TaskGroup | None = None
        self._complained = float("-inf")

    async def run(self) -> None:
        """Go on with what has not ended, and run what is begun, until this is cancelled."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            for batch_id in await self._store.batches.open_ids():
                self.begin(batch_id)
            await asyncio.Event().wait()

    def begin(self, batch_id: str) -> None:
        """Run a batch of the table."""
        # Before the group is there, `run` has not looked into the table yet.
        if self._group is not None and batch_id not in self._cancelled:
            self._cancelled[batch_id] = asyncio.Event()
            self._group.create_task(self._run_one(batch_id))

    def cancel(self, batch_id: str) -> None:
        """Have a batch that is being cancelled stop."""
        if batch_id in self._cancelled:
            self._cancelled[batch_id].set()

    async def _run_one(self, batch_id: str) -> None:
        batch = await self._store.batches.get(batch_id)
        try:
            if batch["status"] == "validating":
                batch = await self._validated(batch)
            if batch["status"] == "in_progress":
                await self._answer(batch)
                batch = await self._move(batch, "in_progress", "finalizing")
        except OSError as error:  # somebody has been at the folder
            problem = {"code": "input_file_unreadable", "message": str(error.strerror), "line": None, "param": None}
            batch = await self._failed(batch, [problem])
        if batch["status"] != "failed":
            await self._kept(lambda: self._finish(batch_id))
        del self._cancelled[batch_id]

    async def _validated(self, batch: Batch) -> Batch:
        """Count the lines of a batch, or fail it."""
        path = self._store.files.path(batch["input_file_id"])
        total, errors = await asyncio.to_thread(validate_input, path, batch["endpoint"], self._max_body_bytes)
        if errors:
            return await self._failed(batch, errors)
        await self._kept(lambda: self._store.batches.set_total(batch["id"], total))
        return await self._move(batch, "validating", "in_progress")

    async def _answer(self, batch: Batch) -> None:
        """Answer the lines that have no result, until all have one, the batch is cancelled, or its time is over."""
        done = await self._kept(lambda: self._store.batches.done_lines(batch["id"]))
        with self._store.files.path(batch["input_file_id"]).open("rb") as file:
            lines = self._remaining(file, done)
            # Twice as many, so that a place is taken while the result of the last one in it is being written.
            working = work_on(lines, lambda line: self._answer_line(batch, line), most=2 * self._max_concurrent)
            work = asyncio.ensure_future(working)
            cancelled = asyncio.ensure_future(self._cancelled[batch["id"]].wait())
            left = max(0.0, batch["expires_at"] - time.time())
            try:
                await asyncio.wait((work, cancelled), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in (work, cancelled):
                    task.cancel()
                await asyncio.gather(work, cancelled, return_exceptions=True)
        if not work.cancelled():
            work.result()

    def _remaining(self, file: BinaryIO, done: set[int]) -> Iterator[BatchLine]:
        for number, raw in numbered_lines(file, self._max_body_bytes):
            if number not in done:
                yield parse_line(raw, number)

    async def _answer_line(self, batch: Batch, line: BatchLine) -> None:
        async with self._places:
            answer = await self._endpoints.post(line.url, _in_background(line.body))
        record = answer_record(line.custom_id, answer)
        await self._kept(lambda: self._store.batches.add_result(batch["id"], line.number, record, ok=answer.ok))

    async def _finish(self, batch_id: str) -> None:
        await finish_batch(self._store, await self._store.batches.get(batch_id), self._max_body_bytes)

    async def _move(self, batch: Batch, came_from: str, status: str, **fields: Any) -> Batch:
        return await self._kept(lambda: self._store.batches.move(batch["id"], (came_from,), status, **fields))

    async def _failed(self, batch: Batch, errors: list[dict[str, Any]]) -> Batch:
        return await self._move(batch, batch["status"], "failed", errors={"object": "list", "data": errors})

    async def _kept(self, work: Callable[[], Awaitable[_Result]]) -> _Result:
        """Do what must not be lost: again, while the disk is full."""
        while True:
            try:
                return await work()
            except StorageError as error:
                if time.monotonic() > self._complained + _COMPLAIN_S:
                    self._complained = time.monotonic()
                    _LOG.error("batches wait for the disk: %s", error)
                await asyncio.sleep(_RETRY_S)


def _in_background(body: Mapping[str, Any]) -> dict[str, Any]:
    """A request behind those of clients; what is no priority is left to the endpoint to refuse."""
    given = body.get("priority")
    asked = _PRIORITY if given is None else min(given, _PRIORITY) if type(given) is int else given
    return {**body, "priority": asked}
