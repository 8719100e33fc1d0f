"""A trace of a few steps by stage, for chrome://tracing or https://ui.perfetto.dev."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from plugtron.assembly.session import Session
from plugtron.execution.native import NativeExecution
from plugtron.execution.wrapper import DecoderWrapper
from plugtron.request.request import InferenceRequest

__all__ = ["write_trace"]


def write_trace(session: Session, requests: list[InferenceRequest], path: Path) -> None:
    """Run requests to their end and write what took how long: steps, and in a native step its operations.

    The format is Chrome's trace events: microseconds, one complete event ("X") each.
    """
    events: list[dict[str, Any]] = []
    wrapper = session.parts.wrapper
    execution = wrapper.execution if isinstance(wrapper, DecoderWrapper) else None
    native = execution if isinstance(execution, NativeExecution) else None
    if native is not None:
        native.observer = lambda spans: events.extend(_event(name, begin, end, "native") for name, begin, end in spans)
    try:
        for request in requests:
            session.add_request(request)
        while session.has_unfinished_requests:
            begin = time.monotonic_ns()
            session.step()
            events.append(_event("step", begin, time.monotonic_ns(), "engine"))
    finally:
        if native is not None:
            native.observer = None
    path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))


def _event(name: str, begin: int, end: int, thread: str) -> dict[str, Any]:
    return {"name": name, "ph": "X", "ts": begin / 1000, "dur": (end - begin) / 1000, "pid": 0, "tid": thread}
