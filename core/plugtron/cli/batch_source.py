"""What answers the lines of a batch: a model in this process, or whatever else there is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, Protocol, Self

from plugtron.assembly.session import Session
from plugtron.assembly.start import assemble
from plugtron.bench.summary import engine_line
from plugtron.cli.serving import checkpoint_name
from plugtron.parallel.world import World
from plugtron.plugin.manager import PluginManager
from plugtron.serve.batches.bounded import engine_batch
from plugtron.serve.batches.in_process import Answered
from plugtron.serve.batches.model_endpoints import model_endpoints
from plugtron.spec.dump import plain_data
from plugtron.spec.resolved import ResolvedSpec

__all__ = ["BatchSource", "Endpoints", "OwnModel"]


class Endpoints(Protocol):
    """Endpoints that can be asked."""

    async def post(self, path: str, body: Mapping[str, Any]) -> Answered:
        """Ask one."""
        ...


class BatchSource(ABC):
    """Loads its model when it is entered, and lets go of it in the end."""

    def __init__(self, resolved: ResolvedSpec) -> None:
        assert resolved.spec.serve is not None
        self.resolved = resolved
        self.names = resolved.spec.serve.models or [checkpoint_name(resolved)]

    @property
    def most(self) -> int:
        """Requests that are computed at once."""
        return engine_batch(plain_data(self.resolved))

    @abstractmethod
    def endpoints(self, on_failure: Callable[[Exception], None]) -> AbstractAsyncContextManager[Endpoints]:
        """Take requests; `on_failure` is told, from any thread, why none can be answered any more."""

    def account(self) -> str | None:
        """What has been counted of the work, for reading."""
        return None

    @abstractmethod
    def __enter__(self) -> Self: ...

    @abstractmethod
    def __exit__(self, *error: object) -> None: ...


class OwnModel(BatchSource):
    """A model in this process, and the ranks that it leads.

    Args:
        ends_chats: as of `SessionService`.
    """

    def __init__(
        self, resolved: ResolvedSpec, manager: PluginManager, world: World | None, *, ends_chats: bool
    ) -> None:
        super().__init__(resolved)
        self._manager = manager
        self._world = world
        self._ends_chats = ends_chats
        self._session: Session | None = None

    @asynccontextmanager
    async def endpoints(self, on_failure: Callable[[Exception], None]) -> AsyncIterator[Endpoints]:
        """Answer from the model."""
        assert self._session is not None, "it has been entered"
        async with model_endpoints(
            self._session, models=self.names, ends_chats=self._ends_chats, on_failure=on_failure
        ) as endpoints:
            yield endpoints

    def account(self) -> str | None:
        """What the engine has counted."""
        stats = None if self._session is None else self._session.engine.stats
        return None if stats is None else f"engine: {engine_line(stats)}"

    def __enter__(self) -> Self:
        self._session = assemble(self.resolved, manager=self._manager, world=self._world)
        return self

    def __exit__(self, *error: object) -> None:
        if self._session is not None:
            self._session.close()
