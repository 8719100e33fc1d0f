"""The processes of a job: alone, under torchrun, or a leader with the followers it has started."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage] - documented as public
from torch.distributed.rendezvous import rendezvous

from plugtron.errors import ParallelError
from plugtron.parallel.environment import is_launched
from plugtron.parallel.group import Group

__all__ = ["TIMEOUT", "World", "check_size", "follow", "join", "launched"]

#: A follower waits for its leader as long as its user thinks. A peer that dies closes its socket, which ends the
#: wait at once, so the limit only has to be longer than any session.
TIMEOUT = timedelta(days=20)
_SPEC_KEY = "plugtron/spec"
_START_LIMIT_S = 300


@dataclass(slots=True, kw_only=True, eq=False)
class World:
    """This process among those of its job.

    `interactive`: only rank 0, the leader, knows what is asked of the job. `threads`: how many a leader had before it
    shared the cores with its followers. `abandoned`: the other ranks have been ended in the middle of their work.
    """

    rank: int
    size: int
    interactive: bool = False
    followers: tuple[subprocess.Popen[bytes], ...] = ()
    threads: int | None = None
    abandoned: bool = False

    def group(self) -> Group:
        """All ranks of the job, over gloo."""
        return Group(dist.group.WORLD if self.size > 1 else None)

    def close(self) -> None:
        """Leave the job; a leader waits for its followers, and ends those that do not go by themselves."""
        if dist.is_initialized():
            dist.destroy_process_group()
        for follower in self.followers:
            try:
                follower.wait(timeout=10)
            except subprocess.TimeoutExpired:
                follower.kill()
                follower.wait()
        if self.threads is not None:
            torch.set_num_threads(self.threads)

    def abandon(self) -> str:
        """End the followers at once; say which of them had ended by themselves."""
        self.abandoned = bool(self.followers)
        time.sleep(0.1 if self.followers else 0)  # one that is just dying should be among them
        ended = [
            f"rank {rank} ended with exit code {follower.returncode}"
            for rank, follower in enumerate(self.followers, start=1)
            if follower.poll() is not None
        ]
        for follower in self.followers:
            follower.kill()
        return "; ".join(ended)


def launched() -> World | None:
    """Join the job that torchrun has started this process for; None when it has not.

    The ranks talk through gloo, whatever tensors will later go through: so errors travel before devices are chosen.
    """
    if not is_launched():
        return None
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    if size > 1:
        store, rank, size = next(rendezvous("env://", timeout=timedelta(seconds=_START_LIMIT_S)))
        # A process may join more than once, one model after the other; each time is told apart in the launcher's store.
        times = store.add(f"plugtron/joins/{rank}", 1)
        store = PrefixStore(f"plugtron/{times}", store)
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    return World(rank=rank, size=size)


def join(size: int, *, spec: str = "") -> World:
    """Become one of `size` processes: torchrun's when it has started this one, else with followers of our own.

    Args:
        spec: the resolved spec as JSON, which followers run.

    Raises:
        ParallelError: torchrun has started another number of processes, or a follower did not come up.
    """
    world = launched()
    if world is None:
        return World(rank=0, size=1) if size == 1 else _lead(size, spec)
    check_size(world, size)
    return world


def check_size(world: World, size: int) -> None:
    """Refuse a job of another size than the spec's.

    Raises:
        ParallelError: with both sizes and what to do.
    """
    if world.size != size:
        raise ParallelError(
            f"the job has {world.size} processes, and parallel.tensor × pipeline × data is {size}: "
            f"start {size} of them (torchrun --nproc-per-node {size} on one machine), or change the spec"
        )


def follow(arguments: Sequence[str]) -> tuple[World, str]:
    """Join the leader that started this process; return the world and the spec to run."""
    port, rank, size = map(int, arguments)
    store = TCPStore("127.0.0.1", port, is_master=False, timeout=timedelta(seconds=_START_LIMIT_S))
    spec = store.get(_SPEC_KEY).decode()
    store.set(f"plugtron/ready/{rank}", "1")
    dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    return World(rank=rank, size=size, interactive=True), spec


def _lead(size: int, spec: str) -> World:
    if not spec:
        raise ParallelError(
            "several ranks are led from a spec: use LLM(tensor_parallel=...) or assemble(spec), or start torchrun"
        )
    if dist.is_initialized():
        raise ParallelError("this process is part of a parallel job already: close the other model first")
    store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=TIMEOUT)
    store.set(_SPEC_KEY, spec)
    command = [sys.executable, "-m", "plugtron.parallel.follower", str(store.port)]
    followers = tuple(
        subprocess.Popen([*command, str(rank), str(size)], env=_environment(rank, size), stdin=subprocess.DEVNULL)
        for rank in range(1, size)
    )
    try:
        _await(store, followers)
        dist.init_process_group("gloo", store=store, rank=0, world_size=size, timeout=TIMEOUT)
    except BaseException:
        for follower in followers:
            follower.kill()
        raise
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // size))
    return World(rank=0, size=size, interactive=True, followers=followers, threads=threads)


def _environment(rank: int, size: int) -> dict[str, str]:
    """What torchrun would tell a rank, and its share of the cores."""
    threads = str(max(1, (os.cpu_count() or 1) // size))
    local = {"LOCAL_RANK": str(rank), "LOCAL_WORLD_SIZE": str(size)}
    return {"OMP_NUM_THREADS": threads, **os.environ, **local}


def _await(store: TCPStore, followers: Sequence[subprocess.Popen[bytes]]) -> None:
    """Wait until every follower has reported, but no longer than each of them lives."""
    deadline = time.monotonic() + _START_LIMIT_S
    waiting = dict(enumerate(followers, start=1))
    while waiting:
        for rank, follower in list(waiting.items()):
            if store.check([f"plugtron/ready/{rank}"]):
                del waiting[rank]
            elif follower.poll() is not None:
                raise ParallelError(f"rank {rank} ended with exit code {follower.returncode} before it could start")
        if time.monotonic() > deadline:
            raise ParallelError(f"ranks {sorted(waiting)} did not start within {_START_LIMIT_S} s")
        time.sleep(0.02)
