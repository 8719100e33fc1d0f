"""Bringing what the host has worked out to the device, and what the device has to the host; neither waits."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["HostCopy", "transfer"]


def transfer(device: torch.device, *arrays: np.ndarray) -> list[Tensor]:
    """Return int64 arrays as tensors on the device: on a CPU the same memory, elsewhere one copy for all."""
    if device.type == "cpu":
        return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    packed = np.concatenate([array.ravel() for array in arrays])
    # From memory that may be moved, the copy would wait until the device has done all that it was given before.
    pinned = torch.from_numpy(packed).pin_memory()
    parts = pinned.to(device, non_blocking=True).split([array.size for array in arrays])
    return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]


class HostCopy:
    """A tensor that is being copied to the host, before anything that the device is given from now on."""

    def __init__(self, tensor: Tensor) -> None:
        self._values = tensor
        self._arrival: torch.cuda.Event | None = None
        if tensor.is_cuda:
            self._values = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            self._values.copy_(tensor, non_blocking=True)
            self._arrival = torch.cuda.Event()
            self._arrival.record(torch.cuda.current_stream(tensor.device))

    def numbers(self) -> list[Any]:
        """Wait for it, and return its numbers."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return self._values.tolist()
