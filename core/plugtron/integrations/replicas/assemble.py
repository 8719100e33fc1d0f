"""Assembles a session whose engine runs its requests on replicas in a Ray cluster."""

from __future__ import annotations

from dataclasses import replace

import ray  # pyright: ignore[reportMissingImports] - in an environment of its own

from plugtron.assembly.build import build_parts
from plugtron.assembly.sent_spec import send_spec
from plugtron.assembly.session import Session
from plugtron.assembly.start import at_hand
from plugtron.contracts.parts import Parts
from plugtron.integrations.ray_actors import joined_cluster, replica_actor
from plugtron.integrations.replicas.engine import ReplicaEngine
from plugtron.integrations.replicas.link import ReplicaLink
from plugtron.integrations.replicas.messages import ReplicaFacts
from plugtron.integrations.replicas.replica import EngineReplica
from plugtron.parallel.runtime import Runtime
from plugtron.plugin.component import Kind, Need
from plugtron.plugin.manager import PluginManager
from plugtron.routing.router import Router, Routing, make_router
from plugtron.spec.needs import all_needs
from plugtron.spec.resolved import ResolvedSpec

__all__ = ["assemble_replicas"]

#: Concurrent calls of a replica: to add requests, and to tokenize them.
_MAX_CALLS = 10_000
#: Tokens of a block by which the router compares prompts: the default of the dynamic engine.
_BLOCK_SIZE = 16
#: Blocks that the router remembers of each replica, where the engine does not say how many it has.
_BLOCKS = 65_536


def assemble_replicas(resolved: ResolvedSpec, manager: PluginManager, replicas: int, routing: Routing) -> Session:
    """Build a session whose requests go to replicas of its model; this process loads the tokenizer alone.

    Args:
        replicas: how many to start.

    Raises:
        SpecError, PluginError, CheckpointError, ParallelError: a replica cannot load the model, or this process not
            its tokenizer.
    """
    resolved = at_hand(resolved, manager)
    parts = _parts(resolved)
    joined = joined_cluster()
    links: list[ReplicaLink] = []
    try:
        kind = replica_actor(EngineReplica, resolved, max_concurrency=_MAX_CALLS)
        sent = send_spec(resolved, manager)
        links += [ReplicaLink(kind.remote(sent)) for _ in range(replicas)]
        engine = ReplicaEngine(
            links,
            lambda facts: _router(routing, replicas, facts),
            seed=resolved.spec.seed,
            on_close=ray.shutdown if joined else None,
        )
    except BaseException:
        for link in links:
            link.end()
        if joined:
            ray.shutdown()
        raise
    return Session(resolved=resolved, manager=manager, parts=parts, engine=engine)


def _parts(resolved: ResolvedSpec) -> Parts:
    """The tokenizer and what it needs; the replicas have the other parts."""
    assert resolved.model is not None
    runtime = Runtime.create(device="cpu")
    if Need.TOKENIZER not in all_needs(resolved.components):
        return Parts(runtime=runtime, model=resolved.model, seed=resolved.spec.seed)
    tokenizers = tuple(resolved.chosen(Kind.TOKENIZER))
    wanted = frozenset({Need.TOKENIZER, *(need for each in tokenizers for need in each.offer.component.needs)})
    return build_parts(replace(resolved, components=tokenizers), runtime, wanted)


def _router(routing: Routing, replicas: int, facts: ReplicaFacts) -> Router:
    blocks = facts.stats.blocks if facts.stats is not None and facts.stats.blocks else _BLOCKS
    return make_router(routing, replicas, block_size=_BLOCK_SIZE, blocks=blocks)
