"""A simulated replica: the engine of a spec, with a controller that has no model."""

from __future__ import annotations

from plugtron.assembly.build import build_component
from plugtron.bench.replicas.controller import Clock, SimulatedController
from plugtron.bench.replicas.step_cost import StepCost
from plugtron.contracts.engine import Engine
from plugtron.contracts.parts import Parts
from plugtron.contracts.stats import EngineStats
from plugtron.parallel.runtime import Runtime
from plugtron.request.request import InferenceRequest
from plugtron.spec.resolved import ResolvedComponent

__all__ = ["SimulatedReplica"]


class SimulatedReplica:
    """Plans its steps, and holds blocks and prefixes, as the engine does: it is the engine. Time is the cost model's.

    Args:
        component: of kind engine, one that works with a controller.
        positions: how long a sequence may get, as the model says.
    """

    def __init__(self, component: ResolvedComponent, runtime: Runtime, cost: StepCost, *, positions: int) -> None:
        self._clock = Clock()
        controller = SimulatedController(runtime, cost, self._clock, positions=positions)
        self._engine: Engine = build_component(component, Parts(runtime=runtime, controller=controller, seed=0))
        #: Tokens of a block, by which prefixes are shared.
        self.block_size = controller.block_size

    @property
    def stats(self) -> EngineStats | None:
        """What the engine counts of its work."""
        return self._engine.stats

    @property
    def is_busy(self) -> bool:
        """Whether a step has anything to do."""
        return self._engine.has_unfinished_requests

    def prepare(self, request: InferenceRequest) -> None:
        """Check a request and take the ids of its prompt."""
        self._engine.prepare_request(request)

    def add(self, request: InferenceRequest, now: float) -> None:
        """Take up a request for the next step that has room."""
        self._engine.add_request(request)
        request.arrival = now

    def step(self, now: float) -> tuple[float, list[InferenceRequest]]:
        """Do a step that begins now; return when it ends, and the requests that end with it."""
        self._clock.now = now
        ended = {output.request.index: output.request for output in self._engine.step() if output.request.is_finished}
        for request in ended.values():
            request.finished = self._clock.now
        return self._clock.now, list(ended.values())
