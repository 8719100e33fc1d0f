"""Replicas as actors of a Ray cluster: joining the cluster, starting them, and waiting for those that are lost."""

from __future__ import annotations

import asyncio
from typing import Any

import ray  # pyright: ignore[reportMissingImports] - in an environment of its own
from ray.actor import ActorHandle  # pyright: ignore[reportMissingImports]
from ray.exceptions import (  # pyright: ignore[reportMissingImports]
    ActorDiedError,
    RayActorError,
    RayTaskError,
)

from plugtron.spec.resolved import ResolvedSpec

__all__ = ["await_return", "joined_cluster", "replica_actor"]

#: Seconds between two looks at a replica that Ray starts again.
_PAUSE_S = 1.0


def joined_cluster() -> bool:
    """Join the cluster that RAY_ADDRESS names, or that runs here; without one, start one on this machine.

    Returns:
        Whether it has been joined now: who did so leaves it with `ray.shutdown`.
    """
    if ray.is_initialized():
        return False
    ray.init(logging_level="error", configure_logging=True)
    return True


def replica_actor(kind: type, resolved: ResolvedSpec, *, max_concurrency: int) -> Any:
    """The actor class of replicas of a spec; `remote` of it starts one.

    Each has the CPUs and GPUs of its ranks, and is started again by Ray when its node or its process is lost.
    """
    spec = resolved.spec
    ranks = spec.parallel.ranks
    return ray.remote(kind).options(
        num_cpus=ranks * (spec.threads or 1),
        num_gpus=ranks if spec.device == "cuda" else 0,
        max_restarts=-1,
        max_concurrency=max_concurrency,
        scheduling_strategy="SPREAD",
    )


async def await_return(actor: ActorHandle) -> str:
    """Wait until a replica that was lost is ready again.

    Returns:
        Why it does not come back; nothing where it has.
    """
    while True:
        try:
            await actor.ready.remote()
        except ActorDiedError:
            return "Ray starts it no more"
        except RayTaskError as error:  # the model cannot be loaded where it is now
            return str(error.cause)
        except RayActorError:
            await asyncio.sleep(_PAUSE_S)
        else:
            return ""
