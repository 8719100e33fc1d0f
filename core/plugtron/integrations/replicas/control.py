"""Pause, sleep and new weights for all replicas at once: either all execute a command, or none does."""

from __future__ import annotations

import asyncio
from pathlib import Path

from plugtron.errors import PlugtronError
from plugtron.integrations.replicas.link import ReplicaLink, ReplicaLost
from plugtron.integrations.replicas.messages import Command, Pause, Resume, Sleep, Wake, Weights

__all__ = ["ReplicaControl"]


class ReplicaControl:
    """Sends commands to the live replicas, `links`, and keeps the state that they lead to. Used from one event loop.

    A replica that is lost during a command does not fail it: when restarted, it is brought to the state of the others.
    """

    def __init__(self) -> None:
        self.links: set[ReplicaLink] = set()
        self.lock = asyncio.Lock()
        self.weights = Weights(path=None, version=0)
        self._paused = False
        self._asleep: Sleep | None = None

    async def restore(self, link: ReplicaLink) -> None:
        """Bring a replica that has just been restarted to the state of the others.

        Raises:
            PlugtronError: the replica refuses.
            ReplicaLost: the replica is lost again.
        """
        if self._paused:
            await link.execute(Pause())
        if self._asleep is not None:
            await link.execute(self._asleep)
        if self.weights.path is not None:
            await link.execute(self.weights)

    async def pause(self) -> None:
        """Stop running steps."""
        async with self.lock:
            await self._all(Pause(), Resume())
            self._paused = True

    async def resume(self) -> None:
        """Run steps again."""
        async with self.lock:
            await self._all(Resume(), Pause())
            self._paused = False

    async def sleep(self, *, weights: bool) -> None:
        """Release the memory of keys and values, and of weights if asked.

        Raises:
            PlugtronError: a replica cannot.
        """
        async with self.lock:
            command = Sleep(weights)
            await self._all(command, Wake())
            self._asleep = command

    async def wake(self) -> None:
        """Allocate the memory again.

        Raises:
            PlugtronError: a replica cannot.
        """
        async with self.lock:
            await self._all(Wake(), self._asleep or Wake())
            self._asleep = None

    async def update_weights(self, path: Path, *, version: int | None, recompute: bool) -> None:
        """Switch to other weights at one point in time: no replica runs a step until all have loaded them.

        Raises:
            PlugtronError: a replica cannot load them.
        """
        async with self.lock:
            number = self.weights.version + 1 if version is None else version
            command = Weights(path=path, version=number, recompute=recompute)
            await self._all(Pause(), Resume())
            try:
                await self._all(command, self.weights)
                self.weights = command
            finally:
                if not self._paused:
                    await self._all(Resume(), Pause())

    async def _all(self, command: Command, undo: Command) -> None:
        """Send a command to all. If one refuses, send `undo` to those that succeeded.

        A replica that fails to undo is restarted.

        Raises:
            PlugtronError: the first refusal.
        """
        links = list(self.links)
        found = await asyncio.gather(*(link.execute(command) for link in links), return_exceptions=True)
        refusals = [each for each in found if isinstance(each, BaseException) and not isinstance(each, ReplicaLost)]
        if not refusals:
            return
        for link, each in zip(links, found, strict=True):
            if each is None:
                await _undo(link, undo)
        raise refusals[0]


async def _undo(link: ReplicaLink, command: Command) -> None:
    try:
        await link.execute(command)
    except ReplicaLost:
        return
    except PlugtronError:
        link.restart()
