"""What engines share: scheduling, events that ranks agree on, taking requests up, text and its ends, the fronts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from plugtron.utils.lazy import loader

if TYPE_CHECKING:
    from plugtron.engine.admission import check_request, tokenize
    from plugtron.engine.async_engine import AsyncEngine
    from plugtron.engine.backend_engine import BackendEngine
    from plugtron.engine.backend_params import BackendParams
    from plugtron.engine.backend_requests import Generated
    from plugtron.engine.batching_engine import BatchingEngine
    from plugtron.engine.events import Command, Sleep, UpdateWeights, Wake
    from plugtron.engine.limits import logits_per_step, sequence_limit
    from plugtron.engine.live_sequence import LiveSequence
    from plugtron.engine.metrics import EngineMetrics
    from plugtron.engine.request_handler import RequestHandler
    from plugtron.engine.request_processor import RequestProcessor
    from plugtron.engine.scheduler import Scheduler
    from plugtron.engine.stopping import StopMatcher
    from plugtron.engine.waiting_queue import WaitingQueue

__all__ = [
    "AsyncEngine",
    "BackendEngine",
    "BackendParams",
    "BatchingEngine",
    "Command",
    "EngineMetrics",
    "Generated",
    "LiveSequence",
    "RequestHandler",
    "RequestProcessor",
    "Scheduler",
    "Sleep",
    "StopMatcher",
    "UpdateWeights",
    "WaitingQueue",
    "Wake",
    "check_request",
    "logits_per_step",
    "sequence_limit",
    "tokenize",
]

#: Where each public name lives; loaded when first asked for.
_HOMES = {
    "AsyncEngine": "plugtron.engine.async_engine",
    "BackendEngine": "plugtron.engine.backend_engine",
    "BackendParams": "plugtron.engine.backend_params",
    "BatchingEngine": "plugtron.engine.batching_engine",
    "Command": "plugtron.engine.events",
    "EngineMetrics": "plugtron.engine.metrics",
    "Generated": "plugtron.engine.backend_requests",
    "LiveSequence": "plugtron.engine.live_sequence",
    "RequestHandler": "plugtron.engine.request_handler",
    "RequestProcessor": "plugtron.engine.request_processor",
    "Scheduler": "plugtron.engine.scheduler",
    "Sleep": "plugtron.engine.events",
    "StopMatcher": "plugtron.engine.stopping",
    "UpdateWeights": "plugtron.engine.events",
    "Wake": "plugtron.engine.events",
    "WaitingQueue": "plugtron.engine.waiting_queue",
    "check_request": "plugtron.engine.admission",
    "logits_per_step": "plugtron.engine.limits",
    "sequence_limit": "plugtron.engine.limits",
    "tokenize": "plugtron.engine.admission",
}
if not TYPE_CHECKING:  # type checkers know the names from the imports above
    __getattr__ = loader(__name__, _HOMES)
