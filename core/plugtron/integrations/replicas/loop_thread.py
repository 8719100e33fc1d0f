"""An event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar, TypeVarTuple

__all__ = ["LoopThread"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class LoopThread:
    """Runs coroutines for other threads until it is closed."""

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, wait for it, and return what it returns, or raise what it raises. From other threads."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def post(self, work: Callable[[*Ts], object], *arguments: *Ts) -> None:
        """Have a function called soon; not any more when the loop is closed."""
        with suppress(RuntimeError):  # it is closed
            self._loop.call_soon_threadsafe(work, *arguments)

    def close(self) -> None:
        """End the loop and its thread; what still runs there is cancelled."""
        self.call(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
