"""The runtime: device, dtype and groups of this process, as one object that is passed along."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist

from plugtron.errors import ParallelError
from plugtron.events import Event, decode, encode
from plugtron.parallel.group import Group
from plugtron.parallel.world import World, join

__all__ = ["Runtime", "choose_device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The only way to a device or to another rank.

    `tensor` are the ranks that share each layer, `model` all that share one copy of the model.
    """

    device: torch.device
    dtype: torch.dtype
    world: World
    tensor: Group
    model: Group

    @classmethod
    def create(
        cls,
        *,
        dtype: str = "float32",
        device: str = "auto",
        tensor: int = 1,
        backend: str = "auto",
        world: World | None = None,
    ) -> Runtime:
        """Join or start a job of `tensor` ranks, and choose this rank's device.

        Raises:
            ParallelError: the ranks cannot be formed, or the device is not there.
        """
        chosen = choose_device(device)
        world = world or join(tensor)
        group = world.group() if world.size == 1 else Group(_tensor_group(chosen, backend, world), dist.group.WORLD)
        return cls(device=chosen, dtype=getattr(torch, dtype), world=world, tensor=group, model=group)

    @property
    def rank(self) -> int:
        """This process's number in the job."""
        return self.world.rank

    @property
    def draws(self) -> bool:
        """Whether this rank runs the samplers and draws for its model group."""
        return self.model.rank == 0

    def agree(self, events: Sequence[Event]) -> Sequence[Event]:
        """Return the leader's events on every rank; where every rank knows all requests, this rank's own."""
        if not self.world.interactive or self.world.size == 1:
            return events
        agreed = self.model.broadcast_json(encode(events))
        return events if self.rank == 0 else decode(agreed)

    def close(self) -> None:
        """Leave the job."""
        self.world.close()


def choose_device(name: str) -> torch.device:
    """Return this rank's device.

    Raises:
        ParallelError: it is not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        if not torch.cuda.is_available():
            raise ParallelError("device cuda: torch sees no CUDA device (accepted here: auto, cpu)")
        index = int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count()
        torch.cuda.set_device(index)
        return torch.device("cuda", index)
    return torch.device(name)


def _tensor_group(device: torch.device, backend: str, world: World) -> dist.ProcessGroup | None:
    """The group that tensors go through: NCCL where each rank has a GPU of its own, else gloo. All ranks come here.

    Raises:
        ParallelError: NCCL is asked for and cannot be had.
    """
    places = world.group().all_gather_json([socket.gethostname(), str(device)])
    own_gpus = device.type == "cuda" and len({tuple(place) for place in places}) == world.size
    if backend == "nccl" and not own_gpus:
        raise ParallelError("parallel.backend nccl: every rank needs a GPU of its own (accepted here: auto, gloo)")
    if backend == "gloo" or not own_gpus:
        return dist.group.WORLD
    group = dist.new_group(backend="nccl")
    assert isinstance(group, dist.ProcessGroup), "every rank is a member"
    return group
