"""Measuring engines from the command line: the same requests for each, in turn, several times."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch

from plugtron.assembly.session import Session
from plugtron.assembly.start import assemble
from plugtron.bench.limits import Limits, measure_limits
from plugtron.bench.recorded import Recording
from plugtron.bench.replay import one_by_one, replay
from plugtron.bench.summary import Summary
from plugtron.bench.trace import picture_of, write_trace
from plugtron.bench.workload import Workload, poisson
from plugtron.cli.common import PluginChoice
from plugtron.cli.prompts import read_prompts
from plugtron.cli.specs import resolve_source
from plugtron.errors import SpecError
from plugtron.parallel.group import Group
from plugtron.request.request import InferenceRequest
from plugtron.spec.load import Source, read
from plugtron.spec.model import PromptFile
from plugtron.spec.overrides import apply, split
from plugtron.utils.progress import progress

__all__ = ["Load", "limits", "measure", "read_base", "report", "summed_up"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What is measured: `latency`, `throughput` or `arrivals`, of which requests, how often.

    Args:
        rate: requests per second, for arrivals.
        prompts: a file of prompts, which takes the place of random ones.
        recording: arrivals that take the place of random requests at random times.
    """

    mode: str
    workload: Workload
    rate: float | None
    prompts: Path | None
    repeat: int
    recording: Recording | None = None

    @property
    def described(self) -> dict[str, Any]:
        """What says which requests are run, JSON-ready."""
        file = self.prompts if self.recording is None else self.recording.file
        return asdict(self.workload) if file is None else {"file": str(file)}

    def requests(self, session: Session, repetition: int) -> list[InferenceRequest]:
        """Make the requests of a repetition, of which no cache knows anything from the last."""
        if self.prompts is not None:
            spec = session.resolved.spec
            requests = read_prompts(
                spec.model_copy(update={"prompts": PromptFile(file=str(self.prompts))}), Group(None)
            )
            for request in requests:
                request.cache_salt += f" repetition {repetition}"
            return requests
        wrapper, tokenizer = session.parts.wrapper, session.parts.tokenizer
        if wrapper is None:
            raise SpecError(f"engine {session.resolved.spec.engine.name} brings its own model: give --prompts")
        reserved = wrapper.info.eos_ids if tokenizer is None else tokenizer.eos_ids
        return self.make(wrapper.info.vocab_size, reserved, repetition)

    def make(self, vocab_size: int, reserved: Collection[int], repetition: int) -> list[InferenceRequest]:
        """Make requests of ids, as they are recorded or random."""
        if self.recording is None:
            return replace(self.workload, seed=self.workload.seed + repetition).make(vocab_size, reserved)
        requests = self.recording.make(vocab_size, reserved)
        for request in requests:
            request.cache_salt = f"repetition {repetition}"
        return requests

    def arrivals(self, count: int, repetition: int) -> list[float] | None:
        """When the requests of a repetition come; None: all at once."""
        if self.recording is not None:
            return self.recording.times
        return poisson(count, self.rate, self.workload.seed + repetition) if self.rate else None

    def run(self, session: Session, repetition: int) -> Summary:
        """Run one repetition."""
        requests = self.requests(session, repetition)
        if self.mode == "latency":
            seconds = one_by_one(session, requests)
        else:
            seconds = replay(session, requests, self.arrivals(len(requests), repetition))
        return summed_up(requests, seconds)


def summed_up(requests: Sequence[InferenceRequest], seconds: float) -> Summary:
    """Sum up requests that have been run.

    Raises:
        SpecError: all of them have failed.
    """
    failed = [request for request in requests if request.error is not None]
    if len(failed) == len(requests):
        raise SpecError(f"all {len(requests)} requests failed: {failed[0].error}")
    return Summary.of(requests, seconds)


def measure(
    load: Load,
    *,
    spec: Path | None,
    model: str,
    engines: Sequence[str],
    overrides: Sequence[str],
    choice: PluginChoice,
    profile: Path | None = None,
) -> dict[str, Any]:
    """Run a load through each engine in turn, a warm-up and then `repeat` times; return all figures, JSON-ready.

    Where a `profile` is wanted, the last engine's first request is run once more for it.
    """
    base = read_base(spec, model)
    if profile is not None:
        _check_profile(profile)
    with ExitStack() as stack:
        assemblies: dict[str, Session] = {}
        for name in dict.fromkeys(engines) or [None]:
            # The name first: it would drop the options that an override has set.
            named = base if name is None else apply(base, {"engine.name": name})
            source = apply(named, split(overrides))
            if len(engines) > 1 and resolve_source(source, choice)[0].spec.parallel.ranks > 1:
                raise SpecError(
                    "several engines are measured in one process; give one --engine where parallel asks for more"
                )
            resolved, manager = resolve_source(source, choice)
            session = stack.enter_context(assemble(resolved, manager=manager))
            assemblies[resolved.spec.engine.name] = session
        found: dict[str, list[Summary]] = {name: [] for name in assemblies}
        with progress("measuring", total=(load.repeat + 1) * len(assemblies), unit="runs") as bar:
            for repetition in range(load.repeat + 1):
                for name, session in assemblies.items():
                    summary = load.run(session, repetition)
                    if repetition:  # the first is warm-up
                        found[name].append(summary)
                    bar.update(repetition * len(assemblies) + list(assemblies).index(name) + 1)
        if profile is not None:
            last = list(assemblies.values())[-1]
            write_trace(last, load.requests(last, load.repeat + 1)[:1], profile)
        return _record(load, assemblies, found)


def _check_profile(profile: Path) -> None:
    """See whether a trace and its picture can be written, before anything is measured."""
    if profile == picture_of(profile):
        raise SpecError(
            f"--profile {profile}: the trace is JSON, and the picture beside it is .svg (accepted: NAME.json)"
        )
    for path in (profile, picture_of(profile)):
        try:
            path.touch()
        except OSError as error:
            raise SpecError(f"--profile {path} cannot be written: {error.strerror}") from None


def limits(*, spec: Path | None, model: str, overrides: Sequence[str], choice: PluginChoice) -> Limits:
    """Measure what this machine can do, and what share of it a model reaches."""
    resolved, manager = resolve_source(apply(read_base(spec, model), split(overrides)), choice)
    with assemble(resolved, manager=manager) as session:
        return measure_limits(session)


def read_base(spec: Path | None, model: str) -> Source:
    """The spec of a file, or one that names the model."""
    return read(spec) if spec is not None else Source(values={"version": 1, "model": {"checkpoint": model}})


def report(found: dict[str, Any]) -> str:
    """The repetition in the middle, by rate, of each engine, for reading."""
    blocks = []
    for name, engine in found["engines"].items():
        rates = engine["output_tokens_per_second"]
        low, middle, high = min(rates), median(rates), max(rates)
        title = f"{name}: {middle:.1f} tokens/s generated ({low:.1f} to {high:.1f} in {len(rates)} repetitions)"
        blocks.append(f"{title}\n{engine['table']}")
    return "\n\n".join(blocks)


def _record(load: Load, assemblies: dict[str, Session], found: dict[str, list[Summary]]) -> dict[str, Any]:
    first = next(iter(assemblies.values()))
    record: dict[str, Any] = {
        "mode": load.mode,
        "model": first.resolved.spec.model.checkpoint,
        "dtype": str(first.parts.runtime.dtype).removeprefix("torch."),
        "device": str(first.parts.runtime.device),
        "threads": torch.get_num_threads(),
        "versions": {"plugtron": version("plugtron"), "torch": torch.__version__},
        "workload": load.described,
    }
    if load.rate is not None:
        record["requests_per_second"] = load.rate
    record["engines"] = {}
    for name, summaries in found.items():
        middle = sorted(summaries, key=lambda summary: summary.output_tokens_per_second)[len(summaries) // 2]
        record["engines"][name] = {
            "options": assemblies[name].resolved.spec.engine.options,
            "output_tokens_per_second": [summary.output_tokens_per_second for summary in summaries],
            "table": middle.table(),
            "repetitions": [asdict(summary) for summary in summaries],
        }
    return record
