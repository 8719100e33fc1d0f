"""Requests to replicas that are Ray actors: to the one with the fewest open, and to another when that one is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from ray.actor import ActorHandle  # pyright: ignore[reportMissingImports] - in an environment of its own
from ray.exceptions import RayActorError, RayTaskError  # pyright: ignore[reportMissingImports]

from plugtron.errors import ParallelError, PlugtronError
from plugtron.integrations.ray_actors import await_return
from plugtron.serve.batches.in_process import Answered

__all__ = ["RayPool"]

#: How many replicas may be lost over one request before it is taken for what ends them.
_ATTEMPTS = 4


class RayPool:
    """Posts to actors of `RayReplica`, which are ready. Of one event loop."""

    def __init__(self, actors: Sequence[ActorHandle]) -> None:
        self._actors = actors
        self._open = dict.fromkeys(range(len(actors)), 0)
        self._changed = asyncio.Condition()
        # Those that are lost, and looked after until they are back.
        self._returning: dict[int, asyncio.Task[None]] = {}
        # Those that do not come back, and why.
        self._gone: dict[int, str] = {}

    async def post(self, path: str, body: Mapping[str, Any]) -> Answered:
        """Ask an endpoint of some replica.

        Raises:
            PlugtronError: an engine has failed, all replicas are gone, or this request loses one after the other.
        """
        for _ in range(_ATTEMPTS):
            index = await self._choose()
            self._open[index] += 1
            try:
                return await self._actors[index].post.remote(path, body)
            except RayActorError:
                self._miss(index)
            except RayTaskError as error:
                if isinstance(error.cause, PlugtronError):
                    raise error.cause from None
                raise
            finally:
                self._open[index] -= 1
        raise ParallelError(f"{_ATTEMPTS} replicas in turn were lost while they answered one request to {path}")

    async def close(self) -> None:
        """Look after nobody any more."""
        for task in self._returning.values():
            task.cancel()
        await asyncio.gather(*self._returning.values(), return_exceptions=True)

    async def _choose(self) -> int:
        """The replica with the fewest open requests, as soon as there is one."""
        async with self._changed:
            while True:
                there = [index for index in self._open if index not in self._returning and index not in self._gone]
                if there:
                    return min(there, key=self._open.__getitem__)
                if len(self._gone) == len(self._actors):
                    reasons = "; ".join(dict.fromkeys(self._gone.values()))
                    raise ParallelError(f"all replicas are gone, and do not come back: {reasons}")
                await self._changed.wait()

    def _miss(self, index: int) -> None:
        """Send nothing to a replica until it is ready again."""
        if index not in self._returning and index not in self._gone:
            self._returning[index] = asyncio.ensure_future(self._await_return(index))

    async def _await_return(self, index: int) -> None:
        reason = await await_return(self._actors[index])
        async with self._changed:
            if reason:
                self._gone[index] = reason
            del self._returning[index]
            self._changed.notify_all()
