"""Files and batches of OpenAI's API as a component."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Self

from starlette.types import ASGIApp

from plugtron.contracts.routes import Routes, Service
from plugtron.serve.api_error import ApiError
from plugtron.serve.batches.batch_routes import BatchRoutes
from plugtron.serve.batches.bounded import engine_batch
from plugtron.serve.batches.file_routes import FileRoutes
from plugtron.serve.batches.in_process import InProcess
from plugtron.serve.batches.runner import BatchRunner
from plugtron.serve.batches.store import Store
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.options import BatchOptions

__all__ = ["Batches"]

#: By default batches have one of so many places of the engine's batch: each request that runs slows the others' steps.
_SHARE = 8


class Batches(Routes):
    """Takes files and batches, and runs them: what is in the folder goes on when a server starts again."""

    def __init__(self, service: Service, options: BatchOptions) -> None:
        super().__init__(service)
        self._options = options
        self._store: Store | None = None
        self._runner: BatchRunner | None = None

    @classmethod
    def assemble(cls, service: Service, options: BatchOptions) -> Self:
        """Make them; the folder is opened by `run`."""
        return cls(service, options)

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        files = FileRoutes(lambda: self._opened.files, self._options.max_file_bytes)
        batches = BatchRoutes(lambda: self._opened.batches, begin=self._begin, cancel=self._cancel)
        return (*files.routes(), *batches.routes())

    async def run(self, endpoints: ASGIApp) -> None:
        """Run batches.

        Raises:
            SpecError: the folder cannot be used.
        """
        self._store = Store(Path(self._options.folder))
        self._runner = BatchRunner(
            self._store,
            InProcess(endpoints),
            max_concurrent=self._options.max_concurrent or max(1, engine_batch(self.service.settings) // _SHARE),
            max_body_bytes=self.service.settings["serve"]["max_body_bytes"],
        )
        await self._runner.run()

    async def close(self) -> None:
        """Let go of the folder."""
        if self._store is not None:
            self._store.close()

    @property
    def _opened(self) -> Store:
        if self._store is None:
            raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "the folder of batches is not open", code="unavailable")
        return self._store

    def _begin(self, batch_id: str) -> None:
        if self._runner is not None:
            self._runner.begin(batch_id)

    def _cancel(self, batch_id: str) -> None:
        if self._runner is not None:
            self._runner.cancel(batch_id)
