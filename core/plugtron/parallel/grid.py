"""The grid of ranks: tensor parallelism within pipeline stages within replicas, and the groups that this makes."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

from plugtron.errors import ParallelError
from plugtron.parallel.group import Group
from plugtron.parallel.world import TIMEOUT, World

__all__ = ["Grid", "Groups", "form_groups"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """How many ranks share a layer, how many stages share a model, and how many replicas of it there are.

    Tensor ranks are neighbors, since they talk the most; then come stages, then replicas.
    """

    tensor: int = 1
    pipeline: int = 1
    data: int = 1

    @property
    def ranks(self) -> int:
        """How many processes that takes."""
        return self.tensor * self.pipeline * self.data

    def tensor_groups(self) -> list[list[int]]:
        """The ranks that share layers."""
        return [list(range(first, first + self.tensor)) for first in range(0, self.ranks, self.tensor)]

    def model_groups(self) -> list[list[int]]:
        """The ranks that share a copy of the model; a rank's number in it is stage · tensor + tensor rank."""
        size = self.tensor * self.pipeline
        return [list(range(first, first + size)) for first in range(0, self.ranks, size)]

    def pipeline_groups(self) -> list[list[int]]:
        """The ranks that pass activations on, in order of stage."""
        return [ranks[first :: self.tensor] for ranks in self.model_groups() for first in range(self.tensor)]

    def data_groups(self) -> list[list[int]]:
        """The ranks that hold the same weights, one of each replica."""
        size = self.tensor * self.pipeline
        return [list(range(first, self.ranks, size)) for first in range(size)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """This rank's groups."""

    tensor: Group
    pipeline: Group
    data: Group
    model: Group


def form_groups(grid: Grid, world: World, device: torch.device, backend: str, *, in_order: bool = False) -> Groups:
    """Form all groups of a job, which add up in order of rank if asked to; every rank comes here.

    Raises:
        ParallelError: NCCL is asked for and cannot be had.
    """
    accelerated = _own_gpus(device, backend, world)
    if accelerated:
        # NCCL would else set up its connections when they are first wanted, which may be while a graph is captured, and
        # after memory has been divided up.
        os.environ.setdefault("NCCL_RUNTIME_CONNECT", "0")

    def own(families: Sequence[Sequence[int]]) -> Group:
        """This rank's of a family. Every rank has to take part in making each of them."""
        mine = Group(None)
        for ranks in families:
            if len(ranks) == 1:
                continue
            whole = len(ranks) == world.size
            control = dist.group.WORLD if whole else dist.new_group(list(ranks), backend="gloo", timeout=TIMEOUT)
            tensors = dist.new_group(list(ranks), backend="nccl", timeout=TIMEOUT) if accelerated else control
            if world.rank in ranks:
                assert isinstance(tensors, dist.ProcessGroup)
                assert isinstance(control, dist.ProcessGroup)
                # gloo passes tensors from rank to rank in host memory alone.
                through_host = not accelerated and device.type != "cpu"
                mine = Group(tensors, control, through_host=through_host, in_order=in_order)
        return mine

    return Groups(
        tensor=own(grid.tensor_groups()),
        pipeline=own(grid.pipeline_groups()),
        data=own(grid.data_groups()),
        model=own(grid.model_groups()),
    )


def _own_gpus(device: torch.device, backend: str, world: World) -> bool:
    """Whether tensors go through NCCL: where each rank has a GPU of its own, else through gloo.

    Raises:
        ParallelError: NCCL is asked for and cannot be had.
    """
    places = world.group().all_gather_json([socket.gethostname(), str(device)])
    own_gpus = device.type == "cuda" and len({tuple(place) for place in places}) == world.size
    if backend == "nccl" and not own_gpus:
        raise ParallelError("parallel.backend nccl: every rank needs a GPU of its own (accepted here: auto, gloo)")
    return own_gpus and backend != "gloo"
