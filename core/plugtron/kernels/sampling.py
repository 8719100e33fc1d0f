"""Which kernels draw, and cut rows of logits down: found when they are first wanted."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from plugtron.contracts.execution import ModelOptions
from plugtron.kernels.triton_here import why_no_triton
from plugtron.parallel.runtime import Runtime
from plugtron.utils.threads import one_thread

if TYPE_CHECKING:
    from plugtron.kernels.chain import ChainKernels

__all__ = ["SamplingChoice", "SamplingKernels", "on_one_thread"]

#: Numbers that one thread of a CPU is done with in less than a millisecond.
_FEW = 1 << 20


class SamplingKernels(Protocol):
    """N rows of C candidates in float32."""

    def draw(self, scores: Tensor, ids: Tensor | None, seeds: Tensor, positions: Tensor, greedy: Tensor) -> Tensor:
        """Return one id per row, [N] int64; -1 where every candidate is masked, -2 where one is NaN or infinite.

        Args:
            scores: [N, C].
            ids: [N, C] int64; None: 0 ... C - 1.
            seeds, positions: [N] int64, what a row's noise is keyed by; see plugtron.kernels.philox.
            greedy: [N] bool, the rows that get no noise.
        """
        ...

    def keep_most_likely(self, logits: Tensor, limits: Tensor, *, by_probability: bool) -> Tensor:
        """Return logits [N, C] with what does not stay at minus infinity.

        A candidate stays when what is ahead of it, so many candidates or so much probability, is less than its row's
        limit, [N] float32. Ahead is what has a greater logit or, of equals, a lower place. The most likely always
        stays.
        """
        ...


@contextmanager
def on_one_thread(tensor: Tensor) -> Iterator[None]:
    """Have torch use but one thread for what is done to a small tensor of a CPU.

    The others would go on spinning for a while, for the next operation of torch's, when a native step wants their
    processors: on two of them it took twice as long.
    """
    if tensor.device.type != "cpu" or tensor.numel() > _FEW or torch.get_num_threads() == 1:
        yield
        return
    with one_thread():
        yield


class SamplingChoice:
    """What is sampled with on a device: nothing where the execution that is asked for leaves it to torch."""

    def __init__(self, runtime: Runtime, options: ModelOptions) -> None:
        self._device = runtime.device
        self._wanted = options.execution is None or options.execution.samples
        self._threads = runtime.threads

    @cached_property
    def kernels(self) -> SamplingKernels | None:
        """None: torch's own operations have to do."""
        # Imported here: a run on a CPU goes without Triton, and others without a compiler.
        if self._device.type == "cpu":
            from plugtron.kernels.native.sampling import NativeSampling

            return None if self._library is None else NativeSampling(self._library, self._threads)
        if not self._wanted or why_no_triton(self._device) is not None:
            return None
        from plugtron.kernels.triton.sampling import TritonSampling

        return TritonSampling()

    @cached_property
    def chain(self) -> ChainKernels | None:
        """What runs stages and the draw in one pass; None: stages have to be applied."""
        if self._library is None:
            return None
        from plugtron.kernels.native.chain import NativeChain

        return NativeChain(self._library, self._threads)

    @cached_property
    def _library(self) -> Path | None:
        """The kernels for a CPU, where these are wanted and can be had."""
        if not self._wanted or self._device.type != "cpu":
            return None
        from plugtron.kernels.native.build import NoCompiler, library

        try:
            return library()
        except NoCompiler:  # an execution that wants one says so
            return None
