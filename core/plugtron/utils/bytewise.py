"""Arithmetic on bytes, eight of them at a time: torch has no fast shifts and masks of single ones."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["every_byte", "words_of"]


def words_of(numbers: Tensor) -> Tensor:
    """Bytes [..., 8 n] as int64 [..., n]. A shift moves bits over bytes' bounds: mask what came from the neighbor."""
    return numbers.contiguous().view(torch.int64)


def every_byte(value: int, size: int = 8) -> int:
    """The signed number of `size` bytes each of which is `value`, 0 to 255."""
    return int.from_bytes(bytes([value]) * size, "little", signed=True)
