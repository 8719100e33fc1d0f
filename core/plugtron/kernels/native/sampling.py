"""Sampling on a CPU: what sampling.cpp does, for torch's tensors."""

from __future__ import annotations

import ctypes
from ctypes import c_int32, c_int64, c_void_p
from pathlib import Path

import torch
from torch import Tensor

__all__ = ["NativeSampling"]


class NativeSampling:
    """See plugtron.kernels.sampling for what is computed.

    Args:
        path: the compiled kernels.
        threads: how many several rows are divided among.
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._threads = threads
        library = ctypes.CDLL(str(path))
        self._draw, self._keep = library.plugtron_draw, library.plugtron_keep_most_likely
        self._draw.argtypes = [*[c_void_p] * 6, *[c_int64] * 4, c_int32]
        self._keep.argtypes = [*[c_void_p] * 3, *[c_int64] * 3, c_int32, c_int32]
        self._draw.restype = self._keep.restype = None

    def draw(self, scores: Tensor, ids: Tensor | None, seeds: Tensor, positions: Tensor, greedy: Tensor) -> Tensor:
        """Return one id per row, [N] int64."""
        rows, count = scores.shape
        tokens = torch.empty(rows, dtype=torch.int64)
        # Of a plugin's sampler anything may come.
        scores, ids = _rows(scores.float()), None if ids is None else _rows(ids.long().expand_as(scores))
        seeds, positions, greedy = seeds.contiguous(), positions.contiguous(), greedy.contiguous()
        self._draw(
            scores.data_ptr(), None if ids is None else ids.data_ptr(), seeds.data_ptr(), positions.data_ptr(),
            greedy.data_ptr(), tokens.data_ptr(), rows, count, scores.stride(0), 0 if ids is None else ids.stride(0),
            self._threads,
        )  # fmt: skip
        return tokens

    def keep_most_likely(self, logits: Tensor, limits: Tensor, *, by_probability: bool) -> Tensor:
        """Return logits [N, C] with what does not stay at minus infinity."""
        rows, count = logits.shape
        logits, limits = _rows(logits.float()), limits.float().contiguous()
        kept = torch.empty(rows, count)
        self._keep(
            logits.data_ptr(), limits.data_ptr(), kept.data_ptr(), rows, count, logits.stride(0), by_probability,
            self._threads,
        )  # fmt: skip
        return kept


def _rows(tensor: Tensor) -> Tensor:
    """A tensor whose rows each lie in one piece."""
    return tensor if tensor.stride(1) == 1 else tensor.contiguous()
