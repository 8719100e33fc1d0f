"""A group of ranks and what they can do together. Objects travel as JSON: nothing is ever unpickled."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from plugtron.errors import ParallelError, PlugtronError

__all__ = ["Group"]

_Result = TypeVar("_Result")
#: What a rank may have sent that nobody has taken yet: a few steps' worth.
_MOST_UNDER_WAY = 16
#: How long a rank that leaves waits for one that does not take what it has been sent.
_SETTLE_LIMIT = timedelta(seconds=10)


class Group:
    """Some ranks of a job, numbered from 0. A group of one does nothing and costs nothing.

    Args:
        tensors: torch's group for tensors, or None for this rank alone.
        control: torch's group, of the same ranks, for objects; it must take tensors on the CPU.
        through_host: what goes from rank to rank must be in host memory on its way.
        in_order: sums are added up in order of rank, so that no element's bits depend on where in a tensor it lies.
    """

    def __init__(
        self,
        tensors: dist.ProcessGroup | None,
        control: dist.ProcessGroup | None = None,
        *,
        through_host: bool = False,
        in_order: bool = False,
    ) -> None:
        self._group = tensors
        self._control = control or tensors
        self._through_host = through_host
        self._in_order = in_order
        self._apart = False
        self._sending: deque[tuple[dist.Work, torch.Tensor]] = deque()
        self.rank: int = 0 if tensors is None else dist.get_rank(tensors)
        self.size: int = 1 if tensors is None else dist.get_world_size(tensors)

    @property
    def stays_on_device(self) -> bool:
        """Whether a GPU can do all of this by itself, so that a captured graph may hold it."""
        return self.size == 1 or not self._through_host

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over the group, in place."""
        if self.size == 1 or self._apart:
            return tensor
        if not self._in_order:
            dist.all_reduce(tensor, group=self._group)
            return tensor
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor.contiguous(), group=self._group)
        tensor.copy_(parts[0])
        for part in parts[1:]:
            tensor += part
        return tensor

    def connect(self, device: torch.device) -> None:
        """Set up what passes tensors between GPUs, which all ranks have to do together and which takes memory."""
        if self.stays_on_device and device.type != "cpu":
            self.all_reduce(torch.zeros(1, device=device))
            self.gather(torch.zeros(1, device=device), axis=0)

    @contextmanager
    def without_collectives(self) -> Iterator[None]:
        """Let `all_reduce` leave tensors as they are: a trial on one rank must not wait for another's."""
        self._apart = True
        try:
            yield
        finally:
            self._apart = False

    def gather(self, tensor: torch.Tensor, axis: int) -> torch.Tensor | None:
        """Put every rank's tensor, all of one shape, side by side along `axis` on rank 0; None elsewhere."""
        if self.size == 1:
            return tensor
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(self.size)] if self.rank == 0 else None
        dist.gather(tensor, parts, group=self._group, group_dst=0)
        return None if parts is None else torch.cat(parts, dim=axis)

    def broadcast(self, tensor: torch.Tensor, source: int) -> dist.Work | None:
        """Begin to give every rank the tensor of rank `source`, in place; it is there after `wait` on what is returned.

        None for a group of one, which has nothing to wait for.
        """
        return dist.broadcast(tensor, group=self._group, group_src=source, async_op=True) if self.size > 1 else None

    def send(self, tensor: torch.Tensor, target: int) -> None:
        """Begin to send a tensor to another rank, and go on; the rank must call `receive`."""
        tensor = tensor.contiguous()
        tensor = tensor.cpu() if self._through_host else tensor
        self._keep(dist.isend(tensor, group=self._group, group_dst=target), tensor)

    def receive(self, tensor: torch.Tensor, source: int) -> torch.Tensor:
        """Fill a tensor with what another rank sends, and return it."""
        arrived = torch.empty_like(tensor, device="cpu") if self._through_host else tensor
        dist.recv(arrived, group=self._group, group_src=source)
        return tensor.copy_(arrived) if self._through_host else tensor

    def broadcast_json(self, value: Any, source: int = 0) -> Any:
        """Give every rank the value of rank `source`."""
        if self.size == 1:
            return value
        if self.rank == source:
            # The source goes on: pipeline stages behind it may take a while before they ask.
            data = _encode(value)
            for tensor in (torch.tensor([len(data)]), data):
                self._keep(dist.broadcast(tensor, group=self._control, group_src=source, async_op=True), tensor)
            return value
        length = torch.zeros(1, dtype=torch.int64)
        dist.broadcast(length, group=self._control, group_src=source)
        data = torch.empty(int(length.item()), dtype=torch.uint8)
        dist.broadcast(data, group=self._control, group_src=source)
        return _decode(data)

    def all_gather_json(self, value: Any) -> list[Any]:
        """Give every rank the values of all, in order of rank."""
        if self.size == 1:
            return [value]
        data = _encode(value)
        lengths = [torch.zeros(1, dtype=torch.int64) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(data)]), group=self._control)
        padded = torch.zeros(int(torch.stack(lengths).max().item()), dtype=torch.uint8)
        padded[: len(data)] = data
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded, group=self._control)
        return [_decode(part[: int(length)]) for part, length in zip(parts, lengths, strict=True)]

    def run_on_all_ranks(self, work: Callable[[], _Result]) -> _Result:
        """Do rank-local work and, if it fails anywhere, raise the first failing rank's error everywhere.

        Without this, the ranks on which it went well would wait for the others in the next collective.
        """
        result, failure = None, None
        try:
            result = work()
        # Whatever is raised, the other ranks must hear of it before this one goes.
        except Exception as error:
            failure = error
        reports = self.all_gather_json(None if failure is None else _report(failure))
        failed = [(rank, *report) for rank, report in enumerate(reports) if report is not None]
        if not failed:
            return result  # pyright: ignore[reportReturnType] - nothing failed, so work() has returned
        self._await_everyone()
        rank, text, exit_code = failed[0]
        if failure is not None and _report(failure)[0] == text:
            raise failure
        theirs = ParallelError(f"rank {rank}: {text}" if rank else text)
        theirs.exit_code = exit_code  # whichever rank ends first, the job ends with the same code
        raise theirs from failure

    def _keep(self, work: dist.Work | None, tensor: torch.Tensor) -> None:
        """Hold on to a tensor as long as it is on its way, and let no more than a few be."""
        assert work is not None, "this rank is a member"
        self._sending.append((work, tensor))
        while len(self._sending) > _MOST_UNDER_WAY:
            self._sending.popleft()[0].wait()

    def leave(self) -> None:
        """Wait until what this rank has sent is with the others, or has been given up, and let go of torch's groups.

        With its last user a group ends its threads. One that still has a tensor to let go of while the interpreter is
        taken down ends the process with SIGABRT.
        """
        while self._sending:
            with suppress(RuntimeError):  # the rank that it was for has ended
                self._sending.popleft()[0].wait(_SETTLE_LIMIT)
        self._group = self._control = None

    def _await_everyone(self) -> None:
        """Let no rank leave for good while another still reads what it has sent."""
        if self.size > 1:
            # A rank that finds the others gone here has heard all there was to hear.
            with suppress(RuntimeError):
                dist.barrier(group=self._control)


def _report(failure: Exception) -> tuple[str, int]:
    if isinstance(failure, PlugtronError):
        return str(failure), failure.exit_code
    return f"{type(failure).__name__}: {failure}", 1


def _encode(value: Any) -> torch.Tensor:
    return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)


def _decode(data: torch.Tensor) -> Any:
    return json.loads(data.numpy().tobytes())
