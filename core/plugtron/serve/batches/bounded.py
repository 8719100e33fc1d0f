"""Work on many things, some of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

__all__ = ["engine_batch", "work_on"]

#: Sequences at once, of an engine that does not say.
_USUAL = 32

_Item = TypeVar("_Item")


async def work_on(items: Iterator[_Item], work: Callable[[_Item], Awaitable[None]], *, most: int) -> None:
    """Work on items as they are read, at most `most` at once; no more of them are held in memory.

    Raises:
        Exception: what the first work to fail raises; the others are cancelled.
    """

    async def worker() -> None:
        for item in items:  # nothing is awaited while an iterator goes on, so workers may share it
            await work(item)

    workers = [asyncio.ensure_future(worker()) for _ in range(most)]
    try:
        for finished in asyncio.as_completed(workers):
            await finished
    finally:
        for task in workers:
            task.cancel()
        await asyncio.gather(*workers, return_exceptions=True)


def engine_batch(settings: Mapping[str, Any]) -> int:
    """How many sequences the engine of a spec takes on at once; of one that does not say, a usual number."""
    engine = settings.get("engine")
    options = engine.get("options", {}) if isinstance(engine, Mapping) else {}
    return int(options.get("max_batch_size", _USUAL))
