"""From a resolved spec to live objects, and running requests through them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from plugtron.component import Kind, Need
from plugtron.contracts.checkpoint import ModelDescription
from plugtron.contracts.engine import Engine
from plugtron.contracts.parts import Parts
from plugtron.dtypes import choose_dtype
from plugtron.errors import ParallelError, PluginError, PlugtronError
from plugtron.host import OWN_DISTRIBUTION, Host
from plugtron.models import fetch
from plugtron.parallel.agree import agree_on_components
from plugtron.parallel.group import Group
from plugtron.parallel.runtime import Runtime, choose_device
from plugtron.parallel.world import World, check_size, join
from plugtron.request import InferenceRequest, RequestOutput
from plugtron.run import Outcome, RunInfo
from plugtron.spec.dump import plain_data
from plugtron.spec.load import Source
from plugtron.spec.model import Spec
from plugtron.spec.resolve import ResolvedComponent, ResolvedSpec, resolve

__all__ = ["Assembly", "assemble", "follow_leader"]


class Assembly:
    """The live parts of a run. A context manager that gives everything back."""

    def __init__(self, *, resolved: ResolvedSpec, host: Host, parts: Parts, engine: Engine) -> None:
        self.resolved = resolved
        self.host = host
        self.parts = parts
        self.engine = engine
        # What steps yield for the runs that are going on, by request: several may be, such as streams side by side.
        self._queues: dict[int, deque[RequestOutput]] = {}
        self._closed = False

    def run(self, requests: Sequence[InferenceRequest]) -> Iterator[RequestOutput]:
        """Run requests to their end, yielding what each step adds, and tell observers.

        Leaving the loop early, or an interrupt, aborts what is unfinished.

        Raises:
            ParallelError: the model has been closed, or its ranks have been lost.
        """
        info = RunInfo(
            model=self.resolved.spec.model.checkpoint,
            engine=self.resolved.spec.engine.name,
            world_size=self.parts.runtime.world.size,
        )
        observes = self.parts.runtime.rank == 0
        if observes:
            self.host.run_started(info)
        open_requests: dict[int, InferenceRequest] = {}
        interrupted = True
        try:
            for output in self._outputs(requests, open_requests):
                if observes and output.request.is_finished and output.request.id not in open_requests:
                    self.host.request_finished(output.request)
                yield output
            interrupted = False
        finally:
            for request_id in open_requests:
                del self._queues[request_id]
                self.engine.abort_request(request_id)
            if observes:
                failed = sum(request.error is not None for request in requests)
                finished = sum(request.is_finished for request in requests) - failed
                self.host.run_finished(info, Outcome(finished=finished, failed=failed, interrupted=interrupted))

    def _outputs(
        self, requests: Sequence[InferenceRequest], open_requests: dict[int, InferenceRequest]
    ) -> Iterator[RequestOutput]:
        """Yield the outputs of these requests; `open_requests` holds those that are still to end."""
        if self._closed or self.parts.runtime.world.abandoned:
            raise ParallelError("this model is closed, or has lost its ranks: make a new one")
        queue: deque[RequestOutput] = deque()
        for request in requests:
            request_id = self.engine.add_request(request)
            open_requests[request_id], self._queues[request_id] = request, queue
        while open_requests:
            while queue:
                output = queue.popleft()
                request_id = output.request.id
                if request_id in open_requests and output.request.is_finished and not _more(queue, output.request):
                    del open_requests[request_id], self._queues[request_id]
                yield output
            if open_requests:
                self._step()

    def close(self) -> None:
        """End the other ranks of an interactive job, leave the job, and let go of the engine."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self.parts.runtime.world.abandoned:
                self.engine.close()
        finally:
            self.parts.runtime.close()

    def __enter__(self) -> Assembly:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _step(self) -> None:
        """Do one step, and hand its outputs to whoever waits for them."""
        world = self.parts.runtime.world
        if self._closed:
            raise ParallelError("this model has been closed")
        try:
            outputs = self.engine.step()
        except BaseException as error:
            # The other ranks are inside the same step and cannot be called back from it.
            ended = world.abandon()
            if ended and isinstance(error, RuntimeError):
                raise ParallelError(f"{ended} (its own error stands above)") from error
            if world.size > 1 and isinstance(error, RuntimeError) and "Connection" in str(error):
                raise ParallelError("another rank has ended (its own error stands above)") from error
            raise
        for output in outputs:
            if output.request.id in self._queues:
                self._queues[output.request.id].append(output)


def _more(queue: deque[RequestOutput], request: InferenceRequest) -> bool:
    return any(output.request is request for output in queue)


def assemble(spec: Spec | ResolvedSpec, *, host: Host | None = None, world: World | None = None) -> Assembly:
    """Build a run from a spec: fetch the model if it is not at hand, start the ranks, build the parts.

    Args:
        host: the plugins to use; by default all that are installed.
        world: the job that this process has joined; by default torchrun's, or a new one.

    Raises:
        SpecError: the spec has mistakes.
        PluginError: a plugin it needs is missing or broken.
        CheckpointError: the model cannot be read.
        ParallelError: the ranks cannot be formed, or do not agree.
    """
    resolved = spec if isinstance(spec, ResolvedSpec) else None
    plain = spec.spec if isinstance(spec, ResolvedSpec) else spec
    if host is None:
        host = Host(disable=plain.plugins.disable)
        host.warn_of_failures()
    group = Group(None) if world is None else world.group()
    resolved = group.together(lambda: _at_hand(resolved, plain, host))
    world = world or join(resolved.spec.parallel.tensor, spec=_for_followers(resolved, host))
    try:
        if world.interactive:
            world.group().together(lambda: None)  # the followers are resolving the spec: did all succeed?
        return _build(resolved, host, world)
    except BaseException as error:
        ended = world.abandon()
        world.close()
        if ended and isinstance(error, RuntimeError):
            raise ParallelError(f"{ended} (its own error stands above)") from error
        raise


def follow_leader(world: World, spec: str) -> None:
    """Build the same parts as the leader, and step with it until it closes its engine."""
    sent = json.loads(spec)

    def obtain() -> tuple[ResolvedSpec, Host]:
        host = Host(disable=sent["disable"], builtins_only=sent["builtins_only"])
        return resolve(Source(values=sent["spec"]), host), host

    resolved, host = world.group().together(obtain)
    with _build(resolved, host, world) as assembly:
        while not assembly.engine.closed:
            assembly.engine.step()


def _build(resolved: ResolvedSpec, host: Host, world: World) -> Assembly:
    """Build this rank's parts, in the order of `Parts`. All ranks fail together, with one message."""
    assert resolved.model is not None
    assert resolved.reader is not None
    model, group = resolved.model, world.group()
    check_size(world, resolved.spec.parallel.tensor)
    agree_on_components(group, resolved)
    group.together(lambda: choose_device(resolved.spec.device))
    runtime = _runtime(resolved, model, world)
    engine = _one(resolved, Kind.ENGINE)
    wanted = _all_needs(engine, resolved)
    reader = resolved.reader

    def local() -> tuple[Parts, Engine]:
        checkpoint = reader.load()(model.path) if Need.CHECKPOINT in wanted else None
        built = Parts(runtime=runtime, model=model, checkpoint=checkpoint, seed=resolved.spec.seed)
        if Need.TOKENIZER in wanted and resolved.chosen(Kind.TOKENIZER):
            built = replace(built, tokenizer=_assemble(_one(resolved, Kind.TOKENIZER), built))
        if Need.WRAPPER in wanted:
            built = replace(built, wrapper=_assemble(_one(resolved, Kind.WRAPPER), built))
        if Need.SAMPLERS in wanted:
            chain = tuple(_assemble(chosen, built) for chosen in resolved.chosen(Kind.SAMPLER))
            built = replace(built, samplers=chain)
        if Need.CONTROLLER in wanted:
            built = replace(built, controller=_assemble(_one(resolved, Kind.CONTROLLER), built))
        return built, _assemble(engine, built)

    finished, live = group.together(local)
    return Assembly(resolved=resolved, host=host, parts=finished, engine=live)


def _runtime(resolved: ResolvedSpec, model: ModelDescription, world: World) -> Runtime:
    spec = resolved.spec
    return Runtime.create(
        dtype=choose_dtype(spec.model.dtype, model, spec.device),
        device=spec.device,
        tensor=world.size,
        backend=spec.parallel.backend,
        world=world,
    )


def _at_hand(resolved: ResolvedSpec | None, plain: Spec, host: Host) -> ResolvedSpec:
    """Resolve a spec with its model there, fetching it if need be."""
    if resolved is not None and resolved.model is not None:
        return resolved
    fetch(plain.model.checkpoint)
    return resolve(Source(values=_as_written(resolved, plain)), host)


def _for_followers(resolved: ResolvedSpec, host: Host) -> str:
    """All that another process needs to resolve the same spec over the same plugins."""
    sent = {"spec": plain_data(resolved), "disable": list(host.disable), "builtins_only": host.builtins_only}
    return json.dumps(sent)


def _as_written(resolved: ResolvedSpec | None, plain: Spec) -> dict[str, Any]:
    return plain.model_dump(mode="json", exclude_none=True) if resolved is None else plain_data(resolved)


def _one(resolved: ResolvedSpec, kind: Kind) -> ResolvedComponent:
    chosen = resolved.chosen(kind)
    if not chosen:
        raise PluginError(f"nothing provides the {kind} that this run needs")
    return chosen[0]


def _all_needs(engine: ResolvedComponent, resolved: ResolvedSpec) -> frozenset[Need]:
    """What the engine needs, what that needs, and so on: a backend engine may need next to nothing."""
    kinds = {
        Need.TOKENIZER: Kind.TOKENIZER,
        Need.WRAPPER: Kind.WRAPPER,
        Need.SAMPLERS: Kind.SAMPLER,
        Need.CONTROLLER: Kind.CONTROLLER,
    }
    wanted: set[Need] = set()
    open_needs = set(engine.offer.component.needs)
    while open_needs:
        need = open_needs.pop()
        wanted.add(need)
        for chosen in resolved.chosen(kinds[need]) if need in kinds else ():
            open_needs |= set(chosen.offer.component.needs) - wanted
    return frozenset(wanted)


def _assemble(chosen: ResolvedComponent, parts: Parts) -> Any:
    """Import a component's class and let it build itself."""
    target = chosen.offer.load()
    announced, declared = chosen.offer.params_model(), getattr(target, "params", None)
    if announced is not None and declared is not announced:
        raise PluginError(
            f"{chosen.offer.title}: its component announces "
            f"{announced.__name__}, its class {getattr(declared, '__name__', declared)!r}: they must be one"
        )
    try:
        return target.assemble(parts, chosen.options)
    except PlugtronError:
        raise
    except Exception as error:
        if chosen.offer.distribution == OWN_DISTRIBUTION:
            raise
        raise PluginError(f"{chosen.offer.title} cannot be built: {type(error).__name__}: {error}") from error
