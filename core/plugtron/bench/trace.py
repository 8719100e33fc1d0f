"""Where the time of a few steps goes: a trace for chrome://tracing or https://ui.perfetto.dev, and a picture."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from plugtron.assembly.session import Session
from plugtron.bench.timeline import ENGINE, REST, Bar, Panel, draw
from plugtron.execution.native import NativeExecution, Span
from plugtron.execution.wrapper import DecoderWrapper
from plugtron.request.request import InferenceRequest

__all__ = ["picture_of", "write_trace"]

#: How many steps after the first token are in the picture; the others are like them.
_MORE_STEPS = 3
#: The kinds of operations by the first words of their names.
_KINDS = {
    "linear": "matrix products",
    "experts": "experts",
    "route": "experts",
    "combine": "experts",
    "attend": "attention",
    "rotate": "attention",
    "torch": "torch",
    "all-reduce": "sums over ranks",
    "call": "operations from outside",
}


@dataclass(frozen=True, slots=True)
class _Step:
    """A step of the engine: its parts, a native step's operations, and whether tokens have been drawn by its end."""

    begin: int
    end: int
    parts: list[Span]
    operations: list[Span]
    has_drawn: bool


def picture_of(trace: Path) -> Path:
    """Where the picture of a trace goes."""
    return trace.with_suffix(".svg")


def write_trace(session: Session, requests: list[InferenceRequest], path: Path) -> None:
    """Run requests to their end and write what took how long: steps, starting and finishing them, operations.

    The trace is in Chrome's format: microseconds, one complete event ("X") each. The picture beside it has the steps up
    to the first token, and a few of those after it.
    """
    steps = _recorded(session, requests)
    events: list[dict[str, Any]] = []
    for step in steps:
        events += [_event(span, "native") for span in step.operations]
        events += [_event(span, "engine") for span in (*step.parts, ("step", step.begin, step.end))]
    path.write_text(json.dumps({"traceEvents": events, "displayTimeUnit": "ms"}))
    first = next((number for number, step in enumerate(steps) if step.has_drawn), len(steps) - 1) + 1
    tokens = sum(len(request.prompt_tokens) for request in requests)
    panels = [_panel("the prompt", f"A prompt of {tokens} tokens", steps[:first])]
    if steps[first:]:
        panels.append(_panel("the steps after it", "After the first token", steps[first : first + _MORE_STEPS]))
    picture_of(path).write_text(draw(f"{session.resolved.spec.model.checkpoint}: where the time goes", panels))


def _recorded(session: Session, requests: list[InferenceRequest]) -> list[_Step]:
    """Run requests to their end, and take down what each step does."""
    steps: list[_Step] = []
    parts: list[Span] = []
    operations: list[Span] = []
    with ExitStack() as stack:
        stack.enter_context(_operations_of(session, operations))
        if session.parts.controller is not None:
            for method in ("start_step", "finish_step"):
                stack.enter_context(_calls(session.parts.controller, method, parts))
        for request in requests:
            session.add_request(request)
        while session.has_unfinished_requests:
            begin = time.monotonic_ns()
            session.step()
            end = time.monotonic_ns()
            drawn = any(sequence.tokens for request in requests for sequence in request.sequences)
            steps.append(_Step(begin, end, parts[:], operations[:], drawn))
            parts.clear()
            operations.clear()
    return steps


@contextmanager
def _operations_of(session: Session, found: list[Span]) -> Iterator[None]:
    """Hear of a native step's operations; others are not divided."""
    wrapper = session.parts.wrapper
    execution = wrapper.execution if isinstance(wrapper, DecoderWrapper) else None
    if not isinstance(execution, NativeExecution):
        yield
        return
    execution.observer = found.extend
    try:
        yield
    finally:
        execution.observer = None


@contextmanager
def _calls(owner: object, method: str, found: list[Span]) -> Iterator[None]:
    """Record the calls of one object's method, whoever makes them: those of `start_step` as `start`."""
    inner = getattr(owner, method)

    def timed(*arguments: Any) -> Any:
        begin = time.monotonic_ns()
        result = inner(*arguments)
        found.append((method.partition("_")[0], begin, time.monotonic_ns()))
        return result

    setattr(owner, method, timed)
    try:
        yield
    finally:
        delattr(owner, method)


def _event(span: Span, thread: str) -> dict[str, Any]:
    name, begin, end = span
    return {"name": name, "ph": "X", "ts": begin / 1000, "dur": (end - begin) / 1000, "pid": 0, "tid": thread}


def _panel(name: str, title: str, steps: list[_Step]) -> Panel:
    """Steps as bars; each is full of its operations and of what is between them."""
    bars: list[Bar] = []
    for step in steps:
        bars += [Bar(part, ENGINE, begin, end) for part, begin, end in (("step", step.begin, step.end), *step.parts)]
        at = step.begin
        for operation, begin, end in sorted(step.operations, key=lambda span: span[1]):
            bars += [Bar(REST, REST, at, begin), Bar(operation, _kind(operation), begin, end)]
            at = end
        bars.append(Bar(REST, REST, at, step.end))
    milliseconds = sum(step.end - step.begin for step in steps) / 1e6
    count = "1 step" if len(steps) == 1 else f"{len(steps)} steps"
    return Panel(name, f"{title}: {count}, {milliseconds:.1f} ms", [bar for bar in bars if bar.end > bar.begin])


def _kind(name: str) -> str:
    """The kind of an operation; what has no name of its own looks at one row at a time."""
    return _KINDS.get(re.split(r"[ ,:]", name)[0], "norms and activations")
