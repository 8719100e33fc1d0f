"""Functions on several ranks: processes of their own, joined over gloo as torchrun's are."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Self

__all__ = ["RankFailed", "Ranks", "run_on_ranks"]


class RankFailed(AssertionError):
    """A rank raised, or ended without an answer; the text has its traceback."""


def run_on_ranks(ranks: int, function: Callable[..., Any], *arguments: object, timeout: float = 600.0) -> list[Any]:
    """Call a function of a module on every rank, in new processes; return what each has returned, in order.

    Inside, plugtron finds itself under torchrun: `LLM(..., tensor_parallel=ranks)` is one model.

    Args:
        timeout: seconds for all of them.

    Raises:
        RankFailed: one of them failed, or was not done in time; the others are ended.
    """
    with Ranks(ranks) as job:
        return job.run(function, *arguments, timeout=timeout)


class Ranks:
    """Processes that are the ranks of a job, for one function after another: they import torch once.

    They start with the first function, and end with `close`, or with the `with` statement. After a failure they are
    ended, and the next function has new ones.
    """

    def __init__(self, count: int) -> None:
        self._count = count
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []

    def run(self, function: Callable[..., Any], *arguments: object, timeout: float = 600.0) -> list[Any]:
        """As `run_on_ranks`."""
        try:
            if not self._processes:
                self._start()
            for pipe in self._pipes:
                with suppress(BrokenPipeError):  # it has ended, and will be found without an answer
                    pipe.send((function, arguments))
            return _answers(self._pipes, self._processes, time.monotonic() + timeout)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the processes."""
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            pipe.close()
            process.kill()
            process.join()
        self._processes, self._pipes = [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        port = _free_port()
        for rank in range(self._count):
            ours, theirs = context.Pipe()
            process = context.Process(target=_rank, args=(theirs, rank, self._count, port))
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)


def _answers(pipes: Sequence[Connection], processes: Sequence[BaseProcess], end: float) -> list[Any]:
    found: dict[int, Any] = {}
    open_pipes = {pipe: rank for rank, pipe in enumerate(pipes)}
    while open_pipes:
        ready = wait(list(open_pipes), max(0.0, end - time.monotonic()))
        if not ready:
            raise RankFailed(f"no answer in time from rank {', '.join(map(str, sorted(open_pipes.values())))}")
        for pipe in ready:
            assert isinstance(pipe, Connection)
            rank = open_pipes.pop(pipe)
            try:
                worked, answer = pipe.recv()
            except (EOFError, ConnectionResetError):
                processes[rank].join()
                worked, answer = False, f"it ended without an answer, with exit code {processes[rank].exitcode}"
            if not worked:
                raise RankFailed(f"rank {rank}: {answer}")
            found[rank] = answer
    return [found[rank] for rank in range(len(pipes))]


def _rank(pipe: Connection, rank: int, ranks: int, port: int) -> None:
    threads = max(1, (os.cpu_count() or 1) // ranks)
    said = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_PORT": port, "OMP_NUM_THREADS": threads}
    os.environ.update({name: str(value) for name, value in said.items()}, MASTER_ADDR="127.0.0.1")
    # os._exit: an interpreter that shuts down may wait for the other ranks of a process group.
    try:
        while True:
            _send(pipe, _answer(pipe.recv_bytes()))
    except (EOFError, OSError):  # the caller has closed the pipe
        os._exit(0)


def _answer(call: bytes) -> tuple[bool, Any]:
    try:
        function, arguments = pickle.loads(call)
        return True, function(*arguments)
    # Whatever it raises belongs to the caller.
    except BaseException:
        return False, traceback.format_exc()


def _send(pipe: Connection, answer: tuple[bool, Any]) -> None:
    try:
        pipe.send(answer)
    except OSError:
        raise
    # What a function returns may be anything.
    except Exception:
        pipe.send((False, f"its answer cannot be sent: {traceback.format_exc()}"))


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
