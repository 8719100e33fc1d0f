"""The same function on several ranks: processes of their own, joined over gloo as torchrun's are."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

__all__ = ["RankFailed", "run_on_ranks"]


class RankFailed(AssertionError):
    """A rank raised, or ended without an answer; the text has its traceback."""


def run_on_ranks(ranks: int, function: Callable[..., Any], *arguments: object, timeout: float = 600.0) -> list[Any]:
    """Call a function of a module on every rank; return what each has returned, in order.

    Inside, plugtron finds itself under torchrun: `LLM(..., tensor_parallel=ranks)` is one model.

    Args:
        timeout: seconds for all of them.

    Raises:
        RankFailed: one of them failed, or was not done in time; the others are ended.
    """
    context = multiprocessing.get_context("spawn")
    port = _free_port()
    pipes, processes = [], []
    for rank in range(ranks):
        ours, theirs = context.Pipe(duplex=False)
        processes.append(context.Process(target=_rank, args=(theirs, rank, ranks, port, function, arguments)))
        processes[-1].start()
        theirs.close()
        pipes.append(ours)
    try:
        return _answers(pipes, processes, time.monotonic() + timeout)
    finally:
        for process in processes:
            process.kill()
            process.join()


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
            except EOFError:
                processes[rank].join()
                worked, answer = False, f"it ended without an answer, with exit code {processes[rank].exitcode}"
            if not worked:
                raise RankFailed(f"rank {rank}: {answer}")
            found[rank] = answer
    return [found[rank] for rank in range(len(pipes))]


def _rank(
    pipe: Connection, rank: int, ranks: int, port: int, function: Callable[..., Any], arguments: tuple[object, ...]
) -> None:
    threads = max(1, (os.cpu_count() or 1) // ranks)
    said = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": ranks, "MASTER_PORT": port, "OMP_NUM_THREADS": threads}
    os.environ.update({name: str(value) for name, value in said.items()}, MASTER_ADDR="127.0.0.1")
    try:
        answer = True, function(*arguments)
    # Whatever it raises belongs to the caller.
    except BaseException:
        answer = False, traceback.format_exc()
    try:
        pipe.send(answer)
    # What a function returns may be anything.
    except Exception:
        pipe.send((False, f"its answer cannot be sent: {traceback.format_exc()}"))
    # What is left of a process group may wait for the others while an interpreter is taken down.
    os._exit(0)


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]
