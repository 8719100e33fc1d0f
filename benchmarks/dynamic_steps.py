"""What steps are made of: how full they are, what they would take at best, and what they cost the host."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.bench.replay import replay
from plugtron.contracts import StepPlan

__all__ = ["Steps", "bookkeeping", "ideal_seconds"]


class Steps:
    """Watches an engine's steps while it is open: rows, prompt tokens, and whether anybody waited."""

    def __init__(self, llm: LLM) -> None:
        self._engine: Any = llm.session.engine
        self._rows: list[tuple[int, bool]] = []
        self.prompt_tokens = 0
        self.histories: list[int] = []

    def __enter__(self) -> Self:
        start = self._engine.controller.start_step

        def start_step(plan: StepPlan) -> Any:
            self._rows.append((len(plan.rows), self._engine.stats.waiting > 0))
            self.prompt_tokens += sum(row.num_new for row in plan.rows if row.tokens)
            self.histories += [row.end for row in plan.rows if not row.tokens]
            return start(plan)

        self._engine.controller.start_step = start_step
        return self

    def __exit__(self, *error: object) -> None:
        del self._engine.controller.start_step

    @property
    def count(self) -> int:
        """How many steps there were."""
        return len(self._rows)

    def full_while_waiting(self, rows: int) -> float:
        """The share of steps with all rows taken, among those while somebody waited."""
        waited = [taken for taken, waiting in self._rows if waiting]
        return sum(taken == rows for taken in waited) / len(waited)


def ideal_seconds(llm: LLM, requests: Sequence[InferenceRequest], steps: Steps) -> float:
    """Each prompt's prefill on its own, plus as many full decode steps as were run, at the histories that they had."""
    engine: Any = llm.session.engine
    prefill = 0.0
    for request in requests:
        # Turned round, so that memory does not know it.
        alone = InferenceRequest(prompt=request.prompt_tokens[::-1], params=_answer(1))
        prefill += replay(engine, [alone])
    rows, history = engine.context.slots, int(statistics.mean(steps.histories))
    batch = [InferenceRequest(prompt=[row + 1] * (history - 12), params=_answer(24)) for row in range(rows)]
    for request in batch:
        engine.add_request(request)
    times = []
    while engine.has_unfinished_requests:
        all_decode = all(request.tokens for request in batch)
        begin = time.perf_counter()
        engine.step()
        if all_decode:
            times.append(time.perf_counter() - begin)
    return prefill + steps.count * statistics.median(times[1:-1])


def bookkeeping(model: str, dtype: str) -> dict[str, Any]:
    """Milliseconds of a decode step, of which neither the model nor the draw is the cause; without detokenizing."""
    record: dict[str, Any] = {}
    for rows in (16, 256):
        options = {"engine.options.max_batch_size": rows, "engine.options.max_sequence_length": 128}
        with LLM(model, engine="dynamic", dtype=dtype, overrides=options) as llm:
            engine: Any = llm.session.engine
            engine.controller.tokenizer = None
            inside = [0.0]
            timed(llm.session.parts.wrapper, "run_one_forward_step", inside)
            timed(engine.controller, "sample_from_logits", inside)
            for row in range(rows):
                engine.add_request(InferenceRequest(prompt=[row + 5, 7, 9], params=_answer(48)))
            whole, host = [], []
            while engine.has_unfinished_requests:
                inside[0] = 0.0
                begin = time.perf_counter()
                engine.step()
                seconds = time.perf_counter() - begin
                whole.append(1000 * seconds)
                host.append(1000 * (seconds - inside[0]))
            step, own = statistics.median(whole[8:-2]), statistics.median(host[8:-2])
            record[f"{rows} rows"] = {"step_ms": step, "host_ms": own, "host_share": own / step}
    return record


def timed(part: Any, name: str, total: list[float]) -> None:
    """Have a method add its seconds to `total`, those included in which its last result is let go of."""
    method: Callable[..., Any] = getattr(part, name)
    last: list[Any] = []

    def call(*arguments: Any) -> Any:
        begin = time.perf_counter()
        last.clear()
        last.append(method(*arguments))
        total[0] += time.perf_counter() - begin
        return last[0]

    setattr(part, name, call)


def _answer(tokens: int) -> SamplingParams:
    return SamplingParams(temperature=0, ignore_eos=True, max_tokens=tokens)
