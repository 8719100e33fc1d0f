"""Simulating replicas from the command line: the same arrivals over each number of them, routed in each way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from plugtron.assembly.build import one
from plugtron.assembly.start import assemble
from plugtron.bench.replicas.controller import VOCABULARY
from plugtron.bench.replicas.fleet import run_fleet
from plugtron.bench.replicas.measure import measure_steps
from plugtron.bench.replicas.replica import SimulatedReplica
from plugtron.bench.replicas.report import FleetReport, table
from plugtron.bench.replicas.step_cost import StepCost
from plugtron.cli.bench_runner import Load, read_base, summed_up
from plugtron.cli.common import PluginChoice
from plugtron.cli.serving import with_overrides
from plugtron.cli.specs import resolve_source
from plugtron.errors import SpecError
from plugtron.parallel.runtime import Runtime
from plugtron.plugin.component import Kind, Need
from plugtron.plugin.manager import PluginManager
from plugtron.routing.router import Routing, make_router
from plugtron.spec.overrides import apply
from plugtron.spec.resolved import ResolvedComponent, ResolvedSpec
from plugtron.utils.progress import progress

__all__ = ["Fleets", "report", "simulate"]

#: How long sequences may get where no model says so; engines have limits of their own.
_POSITIONS = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleets:
    """What is simulated: each number of replicas with each way to route.

    Args:
        cost: of a step; None: it is measured.
        scaled: rate, requests and prefixes are of each replica.
    """

    replicas: Sequence[int]
    routings: Sequence[Routing]
    cost: StepCost | None
    scaled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Basis:
    """What every replica is, and how its cost was found: fitted to so many steps, with this error in the middle."""

    engine: ResolvedComponent
    cost: StepCost
    positions: int = _POSITIONS
    measured_steps: int = 0
    error: float | None = None


def simulate(
    load: Load,
    fleets: Fleets,
    *,
    spec: Path | None,
    model: str,
    engines: Sequence[str],
    overrides: Sequence[str],
    choice: PluginChoice,
) -> dict[str, Any]:
    """Run a load through replicas that have no model; return all figures, JSON-ready."""
    base = read_base(spec, model)
    named = apply(base, {"engine.name": engines[0]}) if engines else base
    resolved, manager = resolve_source(with_overrides(named, overrides), choice)
    basis = _basis(resolved, manager, fleets.cost)
    runtime = Runtime.create(device="cpu")
    cases = [(count, routing) for count in fleets.replicas for routing in fleets.routings]
    reports: list[FleetReport] = []
    try:
        with progress("simulating", total=len(cases), unit="runs") as bar:
            for count, routing in cases:
                scaled = _times(load, count) if fleets.scaled else load
                reports.append(_run(scaled, basis, runtime, count, routing))
                bar.update(len(reports))
    finally:
        runtime.close()
    return _record(load, fleets, resolved, basis, reports)


def report(found: dict[str, Any]) -> str:
    """What a step costs, and the table, for reading."""
    cost = f"a step costs {StepCost(**found['cost'])}"
    if found["cost_error"] is not None:
        cost += f": fitted to {found['measured_steps']} steps, half of them within {found['cost_error']:.0%}"
    return f"{cost}\n{found['table']}"


def _basis(resolved: ResolvedSpec, manager: PluginManager, cost: StepCost | None) -> _Basis:
    """What replicas are made of: as it is given, or measured on the engine.

    Raises:
        SpecError: the engine cannot be simulated.
    """
    engine = one(resolved, Kind.ENGINE)
    if Need.CONTROLLER not in engine.offer.component.needs:
        raise SpecError(f"engine {engine.offer.name} brings its own model, without which it cannot be simulated")
    if resolved.spec.parallel.pipeline > 1:
        raise SpecError("parallel.pipeline: several steps are under way at once, which is not simulated (accepted: 1)")
    if cost is not None:
        if getattr(engine.options, "kv_cache_memory", None) is not None:
            raise SpecError(
                "engine.options.kv_cache_memory: how many bytes a block takes is not known with --cost (accepted: "
                "engine.options.blocks)"
            )
        return _Basis(engine=engine, cost=cost)
    with assemble(resolved, manager=manager) as session:
        timings = measure_steps(session)
        stats, positions = session.engine.stats, session.engine.max_sequence_length or _POSITIONS
    assert stats is not None, "its steps have been counted"
    fitted = StepCost.fit(timings)
    return _Basis(
        engine=_with_blocks(engine, stats.blocks),
        cost=fitted,
        positions=positions,
        measured_steps=len(timings),
        error=fitted.error(timings),
    )


def _with_blocks(engine: ResolvedComponent, blocks: int) -> ResolvedComponent:
    """The engine with as many blocks as the one that was measured found memory for, where it has an option for that."""
    known = {"blocks": blocks, "kv_cache_memory": None}
    fields = type(engine.options).model_fields
    update = {name: value for name, value in known.items() if "blocks" in fields and name in fields}
    return replace(engine, options=engine.options.model_copy(update=update))


def _times(load: Load, count: int) -> Load:
    """So many replicas' load."""
    workload = load.workload
    workload = replace(workload, requests=count * workload.requests, prefixes=count * workload.prefixes)
    assert load.rate is not None, "recorded arrivals are not scaled"
    return replace(load, workload=workload, rate=count * load.rate)


def _run(load: Load, basis: _Basis, runtime: Runtime, count: int, routing: Routing) -> FleetReport:
    replicas = [SimulatedReplica(basis.engine, runtime, basis.cost, positions=basis.positions) for _ in range(count)]
    requests = load.make(VOCABULARY, (), 0)
    first = replicas[0].stats
    router = make_router(routing, count, block_size=replicas[0].block_size, blocks=0 if first is None else first.blocks)
    arrivals = load.arrivals(len(requests), 0) or [0.0] * len(requests)
    seconds, got = run_fleet(replicas, router, requests, arrivals)
    return FleetReport(
        replicas=count,
        routing=routing,
        steps=sum(stats.steps for replica in replicas if (stats := replica.stats) is not None),
        busiest=max(got) * count / len(requests),
        summary=summed_up(requests, seconds),
    )


def _record(
    load: Load, fleets: Fleets, resolved: ResolvedSpec, basis: _Basis, reports: Sequence[FleetReport]
) -> dict[str, Any]:
    record: dict[str, Any] = {
        "mode": load.mode,
        "model": resolved.spec.model.checkpoint,
        "engine": basis.engine.offer.name,
        "options": basis.engine.options.model_dump(mode="json"),
        "cost": asdict(basis.cost),
        "cost_error": basis.error,
        "measured_steps": basis.measured_steps,
        "workload": load.described,
        "of_each_replica": fleets.scaled,
    }
    if load.rate is not None:
        record["requests_per_second"] = load.rate
    record["fleets"] = [{**asdict(each), "hit_rate": each.hit_rate} for each in reports]
    record["table"] = table(reports)
    return record
