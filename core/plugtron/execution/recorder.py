"""Capturing what is launched on a GPU as a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["Recorder"]


class Recorder:
    """Captures functions; their graphs share one pool of memory, because only one of them runs at a time.

    Everything is recorded on one stream, so that libraries keep one workspace for all of it.
    """

    def __init__(self) -> None:
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream()

    def record(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return what does the same again, on the same memory; what it returns is good until any graph is replayed."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            # Once before: what is compiled, and what libraries set up, must not be captured.
            run()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                output = run()
        current.wait_stream(self._stream)

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay
