"""Capturing what is launched on a GPU as a CUDA graph."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from plugtron.context.memory_size import explains_lack

__all__ = ["Recorder"]


class Recorder:
    """Captures functions; their graphs share one pool of memory, because only one of them runs at a time.

    Everything is recorded on one stream, so that libraries keep one workspace for all of it. `seconds` and `bytes` are
    what it has taken so far, of the device's memory.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)
        self.seconds = 0.0
        self.bytes = 0

    def record(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return what does the same again, on the same memory; what it returns is good until any graph is replayed.

        Raises:
            SpecError: there is not the memory for it.
        """
        begin, free = time.perf_counter(), torch.cuda.mem_get_info(self._device)[0]
        with explains_lack("the graph of a step", self._device):
            graph, output = self._captured(run)
        self.seconds += time.perf_counter() - begin
        self.bytes += max(free - torch.cuda.mem_get_info(self._device)[0], 0)

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay

    def _captured(self, run: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            # Once before: what is compiled, and what libraries set up, must not be captured.
            run()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream):
                output = run()
        current.wait_stream(self._stream)
        return graph, output
