"""Memory of objects that are gone, given back to the system."""

from __future__ import annotations

import ctypes
import gc
import sys

import torch

__all__ = ["release_memory"]


def release_memory(device: torch.device) -> None:
    """Give back to the system, and to other users of a GPU, what objects that are gone have left behind."""
    gc.collect()  # models refer to themselves in circles
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others keep less anyway
        if trim is not None:
            trim(0)
