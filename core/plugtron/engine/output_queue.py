"""What one thread puts in, an asyncio task takes out, merged while it does not look."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Collection
from contextlib import suppress

from plugtron.request.request import Outstanding, RequestOutput

__all__ = ["OutputQueue", "wake"]


class OutputQueue:
    """The outputs of one request. It never grows beyond one output per sequence, however slow its reader.

    Args:
        loop: the event loop of the reader.
        whole: whether the reader is woken once, when the request is over; its outputs are merged until then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, *, whole: bool = False) -> None:
        self.loop = loop
        self.whole = whole
        self._lock = threading.Lock()
        self._pending: dict[int, RequestOutput] = {}
        self._outstanding = Outstanding()
        self._error: Exception | None = None
        self._arrived = asyncio.Event()
        self._complete = False
        self.over = False

    def put(self, output: RequestOutput) -> bool:
        """Add an output; say whether it was the request's last. The reader hears of it when it is woken."""
        with self._lock:
            earlier = self._pending.get(output.sequence)
            self._pending[output.sequence] = output if earlier is None else earlier.then(output)
            self._complete = self._outstanding.note(output)
        return self._complete

    def fail(self, error: Exception) -> None:
        """Have the reader raise `error`, once it has taken what is there."""
        with self._lock:
            self._error = error
        wake([self])

    async def take(self) -> list[RequestOutput]:
        """Wait for outputs and return all there are; afterwards `over` says whether more will come.

        Raises:
            Exception: what `fail` was given.
        """
        await self._arrived.wait()
        with self._lock:
            self._arrived.clear()
            taken, self._pending = list(self._pending.values()), {}
            self.over = self._complete or (self._error is not None and not taken)
            if self._error is not None and not taken:
                raise self._error
            if self._error is not None:
                self._arrived.set()  # for the next call
        return taken

    def arrived(self) -> None:
        """Let the reader go on; on its own event loop."""
        self._arrived.set()


def wake(queues: Collection[OutputQueue]) -> None:
    """Let the readers of queues go on, from any thread: each event loop is woken once, which is what costs."""
    for loop in {queue.loop for queue in queues}:
        own = [queue for queue in queues if queue.loop is loop]
        # A loop that has ended may have left readers behind; nobody is there to be woken.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_arrived, own)


def _arrived(queues: Collection[OutputQueue]) -> None:
    for queue in queues:
        queue.arrived()
