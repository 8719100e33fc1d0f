"""From a resolved spec to live objects, on every rank."""

from __future__ import annotations

import traceback
from typing import Any

from plugtron.assembly.agree import agree_on_components
from plugtron.assembly.build import build_component, build_parts, make_runtime, one
from plugtron.assembly.sent_spec import receive_spec, send_spec
from plugtron.assembly.session import Session, is_loss
from plugtron.errors import ParallelError
from plugtron.hub.location import fetch
from plugtron.parallel.environment import is_launched
from plugtron.parallel.group import Group
from plugtron.parallel.runtime import choose_device
from plugtron.parallel.world import World, check_size, join
from plugtron.plugin.component import Kind
from plugtron.plugin.manager import GIVEN, PluginManager
from plugtron.spec.dump import plain_data
from plugtron.spec.load import Source
from plugtron.spec.model import Spec
from plugtron.spec.needs import all_needs
from plugtron.spec.resolution import resolve
from plugtron.spec.resolved import ResolvedSpec

__all__ = ["assemble", "at_hand", "follow_events", "follow_leader"]


def assemble(
    spec: Spec | ResolvedSpec,
    *,
    manager: PluginManager | None = None,
    world: World | None = None,
    observed: bool = True,
) -> Session:
    """Build a run from a spec: fetch the model if it is not at hand, start the ranks, build the parts.

    Args:
        manager: the plugins to use; by default all that are installed.
        world: the job that this process has joined; by default torchrun's, or a new one.
        observed: whether observers are told of what it does.

    Raises:
        SpecError: the spec has mistakes.
        PluginError: a plugin it needs is missing or broken.
        CheckpointError: the model cannot be read.
        ParallelError: the ranks cannot be formed, or do not agree.
    """
    plain = spec.spec if isinstance(spec, ResolvedSpec) else spec
    if manager is None:
        manager = PluginManager(disable=plain.plugins.disable)
        manager.warn_of_failures()
    group = Group(None) if world is None else world.group()
    resolved = group.run_on_all_ranks(lambda: at_hand(spec, manager))
    if world is None and not is_launched() and resolved.spec.parallel.data > 1:
        raise ParallelError(
            f"parallel.data {resolved.spec.parallel.data}: replicas share the prompts of an offline run; start it with "
            "'plugtron run' or torchrun"
        )
    if world is None and not is_launched() and resolved.spec.parallel.ranks > 1:
        _check_reachable(resolved)
    world = world or join(resolved.spec.parallel.ranks, spec=send_spec(resolved, manager))
    try:
        if world.interactive:
            world.group().run_on_all_ranks(lambda: None)  # the followers are resolving the spec: did all succeed?
        return _build(resolved, manager, world, observed=observed)
    except BaseException as error:
        ended = world.abandon()
        world.close()
        if ended and isinstance(error, RuntimeError):
            raise ParallelError(ended) from error
        raise


def follow_leader(world: World, spec: str) -> bool:
    """Build the same parts as the leader, and step with it until it closes its engine; False if a step failed."""
    resolved, manager = world.group().run_on_all_ranks(lambda: receive_spec(spec))
    return follow_events(_build(resolved, manager, world, observed=False))


def follow_events(session: Session) -> bool:
    """Step with the leader until it closes its engine; False if a step failed."""
    try:
        while not session.engine.closed:
            session.engine.step()
    except BaseException as error:
        # The leader is inside a collective of this step. To close the engine would be another one: each would wait for
        # the other. This process just goes, which the leader notices at once.
        if not is_loss(error):
            traceback.print_exc()
        return False
    session.close()
    return True


def _build(resolved: ResolvedSpec, manager: PluginManager, world: World, *, observed: bool) -> Session:
    """Build this rank's parts, in the order of `Parts`. All ranks fail together, with one message."""
    assert resolved.model is not None
    assert resolved.reader is not None
    model, group = resolved.model, world.group()
    check_size(world, resolved.spec.parallel.ranks)
    world.watch(resolved.spec.parallel.timeout)
    agree_on_components(group, resolved)
    group.run_on_all_ranks(lambda: choose_device(resolved.spec.device))
    runtime = make_runtime(resolved, model, world)
    engine = one(resolved, Kind.ENGINE)

    parts = group.run_on_all_ranks(lambda: build_parts(resolved, runtime, all_needs(resolved.components)))
    if parts.wrapper is not None:
        parts.wrapper.agree()
    live = group.run_on_all_ranks(lambda: build_component(engine, parts))
    return Session(resolved=resolved, manager=manager, parts=parts, engine=live, observed=observed)


def at_hand(spec: Spec | ResolvedSpec, manager: PluginManager) -> ResolvedSpec:
    """Resolve a spec with its model there, fetching it if need be.

    Raises:
        SpecError, PluginError, CheckpointError: it cannot be.
    """
    resolved = spec if isinstance(spec, ResolvedSpec) else None
    plain = spec.spec if isinstance(spec, ResolvedSpec) else spec
    if resolved is not None and resolved.model is not None:
        return resolved
    fetch(plain.model.checkpoint)
    return resolve(Source(values=_as_written(resolved, plain)), manager)


def _check_reachable(resolved: ResolvedSpec) -> None:
    """See whether the processes that are to be started can have the same parts."""
    for chosen in resolved.components:
        if chosen.offer.distribution == GIVEN:
            raise ParallelError(
                f"{chosen.offer.title} is of a plugin object, which other processes cannot have: use one rank, a file "
                "(PluginManager(files=...), --plugin), or a package"
            )


def _as_written(resolved: ResolvedSpec | None, plain: Spec) -> dict[str, Any]:
    return plain.model_dump(mode="json", exclude_none=True) if resolved is None else plain_data(resolved)
