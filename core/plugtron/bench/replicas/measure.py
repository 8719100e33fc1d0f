"""Measuring the steps of a real engine, for the cost of simulated ones."""

from __future__ import annotations

import time
from collections.abc import Iterator

from plugtron.assembly.session import Session
from plugtron.bench.replicas.step_cost import StepTiming
from plugtron.bench.workload import Workload
from plugtron.errors import SpecError
from plugtron.request.request import InferenceRequest

__all__ = ["measure_steps"]

#: Requests at once, in the loads that are measured; a smaller one before them warms up.
_WARM_UP, _LOADS = 2, (1, 1, 2, 4, 8, 16)
#: The longest prompt and answer in them, where sequences may be as long.
_PROMPT, _OUTPUT = 128, 16
_SEQUENCE = 2048


def measure_steps(session: Session) -> list[StepTiming]:
    """Run a few loads of one to sixteen requests and time each step.

    Raises:
        SpecError: the engine keeps no account of its steps, or has a model that plugtron knows nothing of.
    """
    wrapper = session.parts.wrapper
    if wrapper is None or session.engine.stats is None:
        name = session.resolved.spec.engine.name
        raise SpecError(f"engine {name} does not say what its steps hold: give --cost")
    longest = session.engine.max_sequence_length or _SEQUENCE
    prompt = max(1, min(_PROMPT, longest // 2))
    output = max(1, min(_OUTPUT, longest - prompt))
    found: list[StepTiming] = []
    for seed, requests in enumerate((_WARM_UP, *_LOADS)):
        load = Workload(
            requests=requests,
            prompt_tokens=(max(1, prompt // 8), prompt),
            output_tokens=(max(1, output // 2), output),
            seed=seed,
        )
        timings = list(_steps(session, load.make(wrapper.info.vocab_size, wrapper.info.eos_ids)))
        found += timings if seed else []
    return found


def _steps(session: Session, requests: list[InferenceRequest]) -> Iterator[StepTiming]:
    for request in requests:
        session.add_request(request)
    while session.has_unfinished_requests:
        before, begin = _computed(session), time.perf_counter()
        outputs = session.step()
        seconds = time.perf_counter() - begin
        drawn = [output for output in outputs if output.tokens]
        # A row that has drawn before computes one token; the rest are of prompts.
        going_on = sum(len(output.request.sequences[output.sequence].tokens) > 1 for output in drawn)
        computed = _computed(session) - before
        if computed:
            yield StepTiming(len(drawn), max(computed - going_on, 0), seconds)
    for request in requests:
        if request.error is not None:
            raise SpecError(request.error)


def _computed(session: Session) -> int:
    stats = session.engine.stats
    assert stats is not None
    return stats.tokens
