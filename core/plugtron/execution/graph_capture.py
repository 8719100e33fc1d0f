"""Capturing what is launched on a GPU as a CUDA graph."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from plugtron.context.memory_size import explain_out_of_memory
from plugtron.parallel.group import Group

__all__ = ["Recorder"]


class Recorder:
    """Captures functions; their graphs share one pool of memory, because only one of them runs at a time.

    Everything is recorded on one stream, so that libraries keep one workspace for all of it. `seconds` and `bytes` are
    what it has taken so far, of the device's memory.

    Args:
        group: the ranks that functions sum up over.
    """

    def __init__(self, device: torch.device, group: Group) -> None:
        self._device = device
        self._group = group
        self._pool = torch.cuda.graph_pool_handle()
        self._stream = torch.cuda.Stream(device)
        self.seconds = 0.0
        self.bytes = 0

    def record(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        """Return a function that replays the captured graph; the next replay of any graph overwrites its output.

        Raises:
            SpecError: there is not the memory for it.
        """
        begin, free = time.perf_counter(), self._free()
        with explain_out_of_memory("the graph of a step", self._device):
            graph, output = self._captured(run)
        self.bytes += free - self._free()
        self.seconds += time.perf_counter() - begin

        def replay() -> Tensor:
            graph.replay()
            return output

        return replay

    def _free(self) -> int:
        """What the device has left beside what is in use; what torch keeps for later is given back."""
        torch.cuda.synchronize(self._device)
        torch.cuda.empty_cache()
        return torch.cuda.mem_get_info(self._device)[0]

    def _captured(self, run: Callable[[], Tensor]) -> tuple[torch.cuda.CUDAGraph, Tensor]:
        current = torch.cuda.current_stream(self._device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            # Once before: what is compiled, and what libraries set up, must not be captured. One rank may find no
            # memory for it, so none waits for another in it, and none begins to capture what another cannot.
            with self._group.without_collectives():
                self._group.run_on_all_ranks(run)
            graph = torch.cuda.CUDAGraph()
            # Other threads may use the device meanwhile.
            with torch.cuda.graph(graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"):
                output = run()
        current.wait_stream(self._stream)
        return graph, output
