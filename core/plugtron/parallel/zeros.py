"""Memory that is zero and takes nothing before it is used."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

__all__ = ["zeros"]


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Zeros; on a CPU as pages that take no memory before they are written.

    torch.zeros would write every page. Uninitialized memory would do for what is read unmasked, but a masked NaN is
    still a NaN.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    data = np.zeros(math.prod(shape) * dtype.itemsize, dtype=np.uint8)
    return torch.from_numpy(data).view(dtype).view(shape)
