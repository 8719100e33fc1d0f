"""What engines share: scheduling, events that ranks agree on, taking requests up, the asynchronous front."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.engine.async_engine import AsyncEngine
    from plugtron.engine.request_processor import RequestProcessor
    from plugtron.engine.scheduler import Scheduler
    from plugtron.engine.waiting_queue import WaitingQueue

__all__ = [
    "AsyncEngine",
    "RequestProcessor",
    "Scheduler",
    "WaitingQueue",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "AsyncEngine": "plugtron.engine.async_engine",
    "RequestProcessor": "plugtron.engine.request_processor",
    "Scheduler": "plugtron.engine.scheduler",
    "WaitingQueue": "plugtron.engine.waiting_queue",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
