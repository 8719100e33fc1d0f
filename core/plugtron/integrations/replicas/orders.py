"""Orders to all replicas: all obey, or none does. What they have come to holds for those that come back, too."""

from __future__ import annotations

import asyncio
from pathlib import Path

from plugtron.errors import PlugtronError
from plugtron.integrations.replicas.link import ReplicaLink, ReplicaLost
from plugtron.integrations.replicas.messages import Order, Pause, Resume, Sleep, Wake, Weights

__all__ = ["Orders"]


class Orders:
    """Gives orders to the replicas that are there, `links`, and remembers what has been ordered. Of one event loop.

    A replica that is lost over an order does not hinder it: it comes back as it has been ordered then.
    """

    def __init__(self) -> None:
        self.links: set[ReplicaLink] = set()
        self.lock = asyncio.Lock()
        self.weights = Weights(path=None, version=0)
        self._paused = False
        self._asleep: Sleep | None = None

    async def bring(self, link: ReplicaLink) -> None:
        """Make a replica that has just been started like the others.

        Raises:
            PlugtronError: it cannot be.
            ReplicaLost: it has been lost again.
        """
        if self._paused:
            await link.obey(Pause())
        if self._asleep is not None:
            await link.obey(self._asleep)
        if self.weights.path is not None:
            await link.obey(self.weights)

    async def pause(self) -> None:
        """Do no more steps."""
        async with self.lock:
            await self._all(Pause(), Resume())
            self._paused = True

    async def resume(self) -> None:
        """Do steps again."""
        async with self.lock:
            await self._all(Resume(), Pause())
            self._paused = False

    async def sleep(self, *, weights: bool) -> None:
        """Give memory back.

        Raises:
            PlugtronError: one of them cannot.
        """
        async with self.lock:
            order = Sleep(weights)
            await self._all(order, Wake())
            self._asleep = order

    async def wake(self) -> None:
        """Take memory again.

        Raises:
            PlugtronError: one of them cannot.
        """
        async with self.lock:
            await self._all(Wake(), self._asleep or Wake())
            self._asleep = None

    async def update_weights(self, path: Path, *, version: int | None, recompute: bool) -> None:
        """Use other weights, from one moment on: no replica does a step until all have read them.

        Raises:
            PlugtronError: one of them cannot.
        """
        async with self.lock:
            number = self.weights.version + 1 if version is None else version
            order = Weights(path=path, version=number, recompute=recompute)
            await self._all(Pause(), Resume())
            try:
                await self._all(order, self.weights)
                self.weights = order
            finally:
                if not self._paused:
                    await self._all(Resume(), Pause())

    async def _all(self, order: Order, undo: Order) -> None:
        """Have all obey. Where one cannot, have those that did undo it; one that cannot even do that is started anew.

        Raises:
            PlugtronError: why one of them cannot.
        """
        links = list(self.links)
        found = await asyncio.gather(*(link.obey(order) for link in links), return_exceptions=True)
        refusals = [each for each in found if isinstance(each, BaseException) and not isinstance(each, ReplicaLost)]
        if not refusals:
            return
        for link, each in zip(links, found, strict=True):
            if each is None:
                await _undo(link, undo)
        raise refusals[0]


async def _undo(link: ReplicaLink, order: Order) -> None:
    try:
        await link.obey(order)
    except ReplicaLost:
        return
    except PlugtronError:
        link.restart()
