"""A group of ranks and what they can do together. Objects travel as JSON: nothing is ever unpickled."""

from __future__ import annotations

import json
from typing import Any

import torch
import torch.distributed as dist

__all__ = ["Group"]


class Group:
    """Some ranks of a job, numbered from 0. A group of one does nothing and costs nothing.

    Args:
        process_group: torch's group, or None for this rank alone.
        device: where the backend wants its tensors.
    """

    def __init__(self, process_group: dist.ProcessGroup | None, device: torch.device) -> None:
        self._group = process_group
        self._device = device
        self.rank: int = 0 if process_group is None else dist.get_rank(process_group)
        self.size: int = 1 if process_group is None else dist.get_world_size(process_group)

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum a tensor over the group, in place."""
        if self.size > 1:
            dist.all_reduce(tensor, group=self._group)
        return tensor

    def gather(self, tensor: torch.Tensor, axis: int) -> torch.Tensor | None:
        """Put every rank's tensor, all of one shape, side by side along `axis` on rank 0; None elsewhere."""
        if self.size == 1:
            return tensor
        tensor = tensor.contiguous()
        parts = [torch.empty_like(tensor) for _ in range(self.size)] if self.rank == 0 else None
        dist.gather(tensor, parts, group=self._group, group_dst=0)
        return None if parts is None else torch.cat(parts, dim=axis)

    def broadcast(self, tensor: torch.Tensor) -> torch.Tensor:
        """Give every rank the tensor of rank 0, in place."""
        if self.size > 1:
            dist.broadcast(tensor, group=self._group, group_src=0)
        return tensor

    def broadcast_json(self, value: Any) -> Any:
        """Give every rank the value of rank 0."""
        if self.size == 1:
            return value
        data = self._encode(value) if self.rank == 0 else None
        length = self.broadcast(torch.tensor([0 if data is None else len(data)], device=self._device))
        if data is None:
            data = torch.empty(int(length.item()), dtype=torch.uint8, device=self._device)
        self.broadcast(data)
        return value if self.rank == 0 else self._decode(data)

    def all_gather_json(self, value: Any) -> list[Any]:
        """Give every rank the values of all, in order of rank."""
        if self.size == 1:
            return [value]
        data = self._encode(value)
        lengths = [torch.zeros(1, dtype=torch.int64, device=self._device) for _ in range(self.size)]
        dist.all_gather(lengths, torch.tensor([len(data)], device=self._device), group=self._group)
        longest = int(torch.stack(lengths).max().item())
        padded = torch.zeros(longest, dtype=torch.uint8, device=self._device)
        padded[: len(data)] = data
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded, group=self._group)
        return [self._decode(part[: int(length)]) for part, length in zip(parts, lengths, strict=True)]

    def _encode(self, value: Any) -> torch.Tensor:
        return torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8).to(self._device)

    @staticmethod
    def _decode(data: torch.Tensor) -> Any:
        return json.loads(data.cpu().numpy().tobytes())
