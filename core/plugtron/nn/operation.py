"""Operations from outside plugtron: what they compute in torch, and sources for those who run them faster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

__all__ = ["CustomOperation", "Operation"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """A function of rows, which computes each row of its result from the same row of its inputs.

    Args:
        name: what messages call it, and the function's name in C++.
        reference: maps one to three tensors [T, C] to one [T, C']; what the others are measured by.
        native: a C++ file with `extern "C" void NAME(const PlugtronCall*, long begin, long end)` (see
            plugtron/kernels/native/operation.h); None: a native step runs the reference.
        triton: a function that maps CUDA tensors as the reference does, by kernels of its own, and can be captured;
            None: a GPU runs the reference.
    """

    name: str
    reference: Callable[..., Tensor]
    native: Path | None = None
    triton: Callable[..., Tensor] | None = None


class CustomOperation(nn.Module):
    """An operation as a block of a decoder."""

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, *inputs: Tensor) -> Tensor:
        """Map one to three tensors [T, C] to one [T, C']."""
        return self.operation.reference(*inputs)
