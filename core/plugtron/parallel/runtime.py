"""The runtime: device, dtype and groups of this process, as one object that is passed along."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from plugtron.errors import ParallelError
from plugtron.parallel.grid import Grid, form_groups
from plugtron.parallel.group import Group
from plugtron.parallel.world import World, join

__all__ = ["Runtime", "choose_device"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """The only way to a device or to another rank.

    `tensor` are the ranks that share each layer, `pipeline` those that pass activations on from stage to stage,
    `model` all that share one copy of the model, `data` those of other copies that hold the same.

    `threads`: how many this rank computes with on a CPU. `restored_threads`: how many torch used before this runtime
    said otherwise, which `close` goes back to.
    """

    device: torch.device
    dtype: torch.dtype
    world: World
    tensor: Group
    pipeline: Group
    data: Group
    model: Group
    threads: int
    restored_threads: int | None = None

    @classmethod
    def create(
        cls,
        *,
        dtype: str = "float32",
        device: str = "auto",
        tensor: int = 1,
        pipeline: int = 1,
        data: int = 1,
        backend: str = "auto",
        in_order: bool = False,
        threads: int | None = None,
        world: World | None = None,
    ) -> Runtime:
        """Join or start a job of `tensor` × `pipeline` × `data` ranks, and choose this rank's device.

        `in_order`: sums over ranks are added up in the order of the ranks, whatever their size. `threads`: how many
        this rank computes with on a CPU, torch's operations included; None leaves them be.

        Raises:
            ParallelError: the ranks cannot be formed, or the device is not there.
        """
        chosen = choose_device(device)
        grid = Grid(tensor=tensor, pipeline=pipeline, data=data)
        world = world or join(grid.ranks)
        groups = form_groups(grid, world, chosen, backend, in_order=in_order)
        before = torch.get_num_threads()
        if threads is not None:
            torch.set_num_threads(threads)
        return cls(
            device=chosen,
            dtype=getattr(torch, dtype),
            world=world,
            tensor=groups.tensor,
            pipeline=groups.pipeline,
            data=groups.data,
            model=groups.model,
            threads=torch.get_num_threads(),
            restored_threads=None if threads is None else before,
        )

    @property
    def rank(self) -> int:
        """This process's number in the job."""
        return self.world.rank

    @property
    def sampling_rank(self) -> int:
        """Which rank of the model group runs the samplers and draws: the last stage's first, where the logits are."""
        return (self.pipeline.size - 1) * self.tensor.size

    @property
    def samples(self) -> bool:
        """Whether that is this rank."""
        return self.model.rank == self.sampling_rank

    @property
    def follows(self) -> bool:
        """Whether the other ranks of an interactive job apply the events of this job's leader."""
        return self.world.interactive and self.world.size > 1

    def broadcast_from_first(self, value: Any) -> Any:
        """Return the first rank's value, JSON-ready data: for clocks and other things that differ between hosts.

        In an interactive job the leader alone calls it, and the other ranks apply the leader's events.
        """
        if self.world.interactive or self.model.size == 1:
            return value
        return self.model.broadcast_json(value)

    def close(self) -> None:
        """Leave the job."""
        if self.restored_threads is not None:
            torch.set_num_threads(self.restored_threads)
        if not self.world.abandoned:
            for group in (self.tensor, self.pipeline, self.data, self.model):
                group.leave()
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
