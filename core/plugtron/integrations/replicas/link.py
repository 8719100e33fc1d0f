"""The server's handle of one replica, which tells its own errors from its loss."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any

import ray  # pyright: ignore[reportMissingImports] - in an environment of its own
from ray.exceptions import RayActorError, RayTaskError  # pyright: ignore[reportMissingImports]

from plugtron.errors import PlugtronError
from plugtron.integrations.ray_actors import await_return
from plugtron.integrations.replicas.messages import Command, Prepared, ReplicaFacts, Report, Submission
from plugtron.request.request import InferenceRequest

__all__ = ["ReplicaLink", "ReplicaLost"]


class ReplicaLost(Exception):
    """A replica's process, or its node, has died."""


class ReplicaLink:
    """Calls an actor of `EngineReplica`. Raises what the replica raises, and ReplicaLost when it has died."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def ready(self) -> ReplicaFacts:
        """As `EngineReplica.ready`."""
        return await _answer(self._actor.ready.remote())

    async def await_return(self) -> str:
        """Wait until it is ready again after it was lost; return why it does not come back, or an empty text."""
        return await await_return(self._actor)

    async def prepare(self, request: InferenceRequest) -> Prepared:
        """As `EngineReplica.prepare`."""
        return await _answer(self._actor.prepare.remote(request))

    def reports(self, incarnation: int) -> AsyncIterator[Report]:
        """As `EngineReplica.reports`."""
        return _items(self._actor.reports.options(num_returns="streaming").remote(incarnation))

    async def add(self, incarnation: int, submission: Submission) -> None:
        """As `EngineReplica.add`."""
        await _answer(self._actor.add.remote(incarnation, submission))

    async def abort(self, incarnation: int, number: int) -> None:
        """As `EngineReplica.abort`."""
        await _answer(self._actor.abort.remote(incarnation, number))

    async def execute(self, command: Command) -> None:
        """As `EngineReplica.execute`."""
        await _answer(self._actor.execute.remote(command))

    async def close(self) -> None:
        """As `EngineReplica.close`."""
        await _answer(self._actor.close.remote())

    def restart(self) -> None:
        """End its process; Ray starts another one."""
        ray.kill(self._actor, no_restart=False)

    def end(self) -> None:
        """End its process for good."""
        ray.kill(self._actor)


async def _answer(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except RayTaskError as error:
        raise _cause(error) from None
    except RayActorError as error:
        raise ReplicaLost(str(error).splitlines()[0]) from None


async def _items(call: AsyncIterator[Awaitable[Any]]) -> AsyncIterator[Any]:
    try:
        async for item in call:
            yield await item
    except RayTaskError as error:
        raise _cause(error) from None
    except RayActorError as error:
        raise ReplicaLost(str(error).splitlines()[0]) from None


def _cause(error: RayTaskError) -> Exception:
    """The replica's own error; that of a defect keeps Ray's traceback."""
    return error.cause if isinstance(error.cause, PlugtronError) else error
