"""The processes of a job: alone, under torchrun, or a leader with the followers it has started."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch.distributed import PrefixStore, TCPStore  # pyright: ignore[reportPrivateImportUsage] - documented as public
from torch.distributed.rendezvous import rendezvous

from plugtron.errors import ParallelError
from plugtron.parallel.environment import is_launched
from plugtron.parallel.group import Group
from plugtron.parallel.heartbeat import Heartbeat

__all__ = ["TIMEOUT", "World", "check_size", "follow", "join", "launched"]

#: A follower waits for its leader as long as its user thinks. A peer that dies closes its socket, which ends the
#: wait at once, so the limit only has to be longer than any session.
TIMEOUT = timedelta(days=20)
_START_LIMIT_S = 300
#: How long ranks wait for the one that reports a rank's silence.
_REPORT_LIMIT_S = 60
_LOOPBACK = "127.0.0.1"
#: The variable that says through which network device gloo connects.
_GLOO_DEVICE = "GLOO_SOCKET_IFNAME"


@dataclass(slots=True, kw_only=True, eq=False)
class World:
    """This process among those of its job.

    `interactive`: only rank 0, the leader, knows what is asked of the job. `threads`: how many a leader had before it
    shared the cores with its followers. `abandoned`: the other ranks have been ended in the middle of their work.
    `store`: what the ranks share besides tensors. `silence`: which rank gave no sign of life, and was given up.
    """

    rank: int
    size: int
    interactive: bool = False
    followers: tuple[subprocess.Popen[bytes], ...] = ()
    threads: int | None = None
    abandoned: bool = False
    store: TCPStore | PrefixStore | None = None
    silence: str = ""
    heartbeat: Heartbeat | None = None

    def watch(self, limit: float) -> None:
        """Give up ranks that give no sign of life for `limit` seconds: they are stopped, or their machine has stalled.

        A leader ends its followers, so that what waits for them fails; any other rank ends itself, with a message.
        """
        if self.store is not None and self.heartbeat is None:
            self.heartbeat = Heartbeat(self.store, self.rank, self.size, limit, self._give_up)

    def _give_up(self, rank: int, seconds: float) -> None:
        text = f"rank {rank} has given no sign of life for {seconds:.0f} s: it is stopped, or its machine has stalled"
        if self.followers:
            self.silence = text
            for follower in self.followers:
                follower.kill()
            return
        if self.rank == (1 if rank == 0 else 0):
            sys.stderr.write(f"{text} (parallel.timeout)\n")
            sys.stderr.flush()
        else:
            # The first rank that ends takes the others along: it should be the one that says why.
            time.sleep(_REPORT_LIMIT_S)
        os._exit(1)

    def group(self) -> Group:
        """All ranks of the job, over gloo."""
        return Group(dist.group.WORLD if self.size > 1 else None)

    def close(self) -> None:
        """Leave the job; a leader waits for its followers, and ends those that do not go by themselves."""
        if self.heartbeat is not None:
            self.heartbeat.stop()
        if dist.is_initialized():
            dist.destroy_process_group()
        for follower in self.followers:
            try:
                follower.wait(timeout=10)
            except subprocess.TimeoutExpired:
                follower.kill()
                follower.wait()
            if follower.stdin is not None:
                follower.stdin.close()
        if self.threads is not None:
            torch.set_num_threads(self.threads)

    def lost_follower(self) -> str:
        """Which follower has ended, and how; empty while all live."""
        codes = {rank: follower.poll() for rank, follower in enumerate(self.followers, start=1)}
        return "; ".join(_how_it_ended(rank, code) for rank, code in codes.items() if code is not None)

    def abandon(self) -> str:
        """End the followers at once; say which of them had ended by themselves, or was given up."""
        self.abandoned = bool(self.followers)
        time.sleep(0.1 if self.followers else 0)  # one that is just dying should be among them
        codes = {rank: follower.poll() for rank, follower in enumerate(self.followers, start=1)}
        for follower in self.followers:
            follower.kill()
            follower.wait()
        if self.silence:
            return f"{self.silence} (parallel.timeout)"
        ended = [_how_it_ended(rank, code) for rank, code in codes.items() if code is not None]
        said = any(code is not None and code > 0 for code in codes.values())
        return "; ".join(ended) + (" (its own error stands above)" if said else "")


def _how_it_ended(rank: int, code: int) -> str:
    if code >= 0:
        return f"rank {rank} ended with exit code {code}"
    try:
        return f"rank {rank} was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"rank {rank} was ended by signal {-code}"


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
        return World(rank=rank, size=size, store=store)
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


def follow() -> tuple[World, str]:
    """Join the leader that started this process; return the world and the spec to run.

    What there is to know comes through standard input, which the leader alone can write to.
    """
    told = json.loads(sys.stdin.readline())
    rank, size = told["rank"], told["size"]
    threading.Thread(target=_end_with_leader, name="plugtron-leader", daemon=True).start()
    store = TCPStore(_LOOPBACK, told["port"], is_master=False, timeout=timedelta(seconds=_START_LIMIT_S))
    store.set(f"plugtron/ready/{rank}", "1")
    _init_on_loopback(store, rank, size)
    return World(rank=rank, size=size, interactive=True, store=store), told["spec"]


def _end_with_leader() -> None:
    """Wait until the leader closes our standard input, as it does when it ends, however it does; then end as well."""
    sys.stdin.buffer.read()
    os._exit(1)


def _lead(size: int, spec: str) -> World:
    if not spec:
        raise ParallelError(
            "several ranks are led from a spec: use LLM(tensor_parallel=...) or assemble(spec), or start torchrun"
        )
    if dist.is_initialized():
        raise ParallelError("this process is part of a parallel job already: close the other model first")
    store = _store_on_loopback()
    command = [sys.executable, "-m", "plugtron.assembly.follower"]
    followers = tuple(
        subprocess.Popen(command, env=_environment(rank, size), stdin=subprocess.PIPE) for rank in range(1, size)
    )
    try:
        for rank, follower in enumerate(followers, start=1):
            _tell(follower, {"rank": rank, "size": size, "port": store.port, "spec": spec})
        _await(store, followers)
        _init_on_loopback(store, 0, size)
    except BaseException:
        for follower in followers:
            follower.kill()
        raise
    threads = torch.get_num_threads()
    torch.set_num_threads(max(1, threads // size))
    return World(rank=0, size=size, interactive=True, followers=followers, threads=threads, store=store)


def _store_on_loopback() -> TCPStore:
    """A store that listens on the loopback only; the default listens on all interfaces."""
    with socket.create_server((_LOOPBACK, 0), backlog=1024) as listening:
        port = listening.getsockname()[1]
        return TCPStore(
            _LOOPBACK, port, is_master=True, wait_for_workers=False, timeout=TIMEOUT,
            master_listen_fd=listening.detach(),
        )  # fmt: skip


def _init_on_loopback(store: TCPStore, rank: int, size: int) -> None:
    """Connect the ranks of this machine, through nothing that another can reach."""
    before = os.environ.get(_GLOO_DEVICE)
    if before is None and sys.platform == "linux":
        os.environ[_GLOO_DEVICE] = "lo"
    try:
        dist.init_process_group("gloo", store=store, rank=rank, world_size=size, timeout=TIMEOUT)
    finally:
        if before is None:
            os.environ.pop(_GLOO_DEVICE, None)


def _tell(follower: subprocess.Popen[bytes], what: dict[str, object]) -> None:
    assert follower.stdin is not None
    with suppress(BrokenPipeError):  # it has ended already, which `_await` says
        follower.stdin.write(f"{json.dumps(what)}\n".encode())
        follower.stdin.flush()


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
                raise ParallelError(f"{_how_it_ended(rank, follower.returncode)} before it could start")
        if time.monotonic() > deadline:
            raise ParallelError(f"ranks {sorted(waiting)} did not start within {_START_LIMIT_S} s")
        time.sleep(0.02)
