"""Memory that is zero and takes nothing before it is used."""

from __future__ import annotations

import math
import mmap
import sys
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

__all__ = ["zeros"]


def zeros(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, *, scattered: bool = False) -> Tensor:
    """Zeros; on a CPU as pages that take no memory before they are written.

    torch.zeros would write every page. Uninitialized memory would do for what is read unmasked, but a masked NaN is
    still a NaN.

    Args:
        scattered: writes begin in many places, each far from the others. On Linux numpy asks for huge pages, of which
            the first byte that is written takes 2 MiB: here there are none.
    """
    if device.type != "cpu":
        return torch.zeros(shape, dtype=dtype, device=device)
    size = math.prod(shape) * dtype.itemsize
    data = _small_pages(size) if scattered and size and sys.platform == "linux" else np.zeros(size, dtype=np.uint8)
    return torch.from_numpy(data).view(dtype).view(shape)


def _small_pages(size: int) -> np.ndarray:
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with suppress(OSError):  # this kernel has no huge pages
        memory.madvise(mmap.MADV_NOHUGEPAGE)  # some systems give them unasked
    return np.frombuffer(memory, dtype=np.uint8)
