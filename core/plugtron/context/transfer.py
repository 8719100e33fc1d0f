"""Bringing what the host has worked out to the device."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["transfer"]


def transfer(device: torch.device, *arrays: np.ndarray) -> list[Tensor]:
    """Return int64 arrays as tensors on the device: on a CPU the same memory, elsewhere one copy for all."""
    if device.type == "cpu":
        return [torch.from_numpy(np.ascontiguousarray(array)) for array in arrays]
    packed = np.concatenate([array.ravel() for array in arrays])
    parts = torch.from_numpy(packed).to(device, non_blocking=True).split([array.size for array in arrays])
    return [part.view(array.shape) for part, array in zip(parts, arrays, strict=True)]
