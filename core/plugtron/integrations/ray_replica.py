"""A replica of a model as a Ray actor, which answers requests of batches."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

from plugtron.assembly.sent_spec import receive_spec
from plugtron.assembly.start import assemble
from plugtron.serve.batches.in_process import Answered, InProcess
from plugtron.serve.batches.model_endpoints import model_endpoints

__all__ = ["RayReplica"]


class RayReplica:
    """Loads its model, and the other ranks with it, on its node, when it is first asked. Its methods share a loop.

    Args:
        spec: as `send_spec` has written it.
        models: names of the model.
        ends_chats: as of `SessionService`.
    """

    def __init__(self, spec: str, models: list[str], *, ends_chats: bool) -> None:
        self._spec = spec
        self._models = models
        self._ends_chats = ends_chats
        self._open = AsyncExitStack()
        self._beginning = asyncio.Lock()
        self._endpoints: InProcess | None = None
        self._failure: Exception | None = None

    async def ready(self) -> None:
        """Return when the model is there.

        Raises:
            PlugtronError: it cannot be loaded on this node.
        """
        await self._loaded()

    async def post(self, path: str, body: Mapping[str, Any]) -> Answered:
        """Ask an endpoint.

        Raises:
            PlugtronError: the engine has failed; what it answered is none.
        """
        answered = await (await self._loaded()).post(path, body)
        if self._failure is not None:
            raise self._failure
        return answered

    async def close(self) -> None:
        """Tell observers that this was all, and let go of the model."""
        await self._open.aclose()

    async def _loaded(self) -> InProcess:
        async with self._beginning:
            if self._endpoints is None:
                resolved, manager = receive_spec(self._spec)
                session = self._open.enter_context(assemble(resolved, manager=manager))
                endpoints = model_endpoints(
                    session, models=self._models, ends_chats=self._ends_chats, on_failure=self._fail
                )
                self._endpoints = await self._open.enter_async_context(endpoints)
            return self._endpoints

    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
