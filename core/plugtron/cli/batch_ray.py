"""`plugtron batch --ray`: the lines of a batch over replicas of its model, each an actor on some node of a cluster."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

import ray  # pyright: ignore[reportMissingImports] - in an environment of its own
from ray.exceptions import (  # pyright: ignore[reportMissingImports]
    GetTimeoutError,
    RayActorError,
    RayTaskError,
)

from plugtron.assembly.sent_spec import send_spec
from plugtron.cli.batch_source import BatchSource, Endpoints
from plugtron.errors import PlugtronError
from plugtron.integrations.ray_actors import joined_cluster, replica_actor
from plugtron.integrations.ray_pool import RayPool
from plugtron.integrations.ray_replica import RayReplica
from plugtron.plugin.manager import PluginManager
from plugtron.spec.resolved import ResolvedSpec

__all__ = ["RayReplicas"]

#: Seconds that replicas get to tell their observers of the end.
_CLOSE_S = 30.0


class RayReplicas(BatchSource):
    """Replicas on the cluster that RAY_ADDRESS names, or that runs here; without one, on this machine.

    Each is an actor with the CPUs and GPUs of its ranks, started again by Ray when its node or its process is lost.

    Args:
        replicas: how many.
        ends_chats: as of `SessionService`.
    """

    def __init__(self, resolved: ResolvedSpec, manager: PluginManager, replicas: int, *, ends_chats: bool) -> None:
        super().__init__(resolved)
        self._manager = manager
        self._replicas = replicas
        self._ends_chats = ends_chats
        self._actors: list[Any] = []
        self._connects = False

    @property
    def most(self) -> int:
        """Requests that are computed at once, by all of them."""
        return super().most * self._replicas

    @asynccontextmanager
    async def endpoints(self, on_failure: Callable[[Exception], None]) -> AsyncIterator[Endpoints]:
        """Answer from whichever replica has the fewest open requests."""
        del on_failure  # a replica whose engine fails says so in answer to a request
        pool = RayPool(self._actors)
        try:
            yield pool
        finally:
            await pool.close()

    def __enter__(self) -> Self:
        self._connects = joined_cluster()
        try:
            self._start()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        # A lost actor cannot be told; one that does not end is busy with work whose result is not needed.
        with suppress(RayActorError, GetTimeoutError):
            ray.get([actor.close.remote() for actor in self._actors], timeout=_CLOSE_S)
        self._end()

    def _start(self) -> None:
        """Start the actors and wait until all of them have loaded the model.

        Raises:
            PlugtronError: one of them cannot.
        """
        kind = replica_actor(RayReplica, self.resolved, max_concurrency=max(1000, 8 * super().most))
        sent = send_spec(self.resolved, self._manager)
        self._actors = [kind.remote(sent, self.names, ends_chats=self._ends_chats) for _ in range(self._replicas)]
        try:
            ray.get([actor.ready.remote() for actor in self._actors])
        except RayTaskError as error:
            if isinstance(error.cause, PlugtronError):
                raise error.cause from None
            raise

    def _end(self) -> None:
        for actor in self._actors:
            ray.kill(actor)
        self._actors = []
        if self._connects:
            ray.shutdown()
