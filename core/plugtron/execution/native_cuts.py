"""What of a native step runs through torch: pieces that the kernels do not know."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from plugtron.contracts.decoder import Decoder
from plugtron.contracts.step import StepBatch
from plugtron.errors import PluginError
from plugtron.execution.lowering.calls import Rows, TorchCall, Value
from plugtron.execution.lowering.plan import Plan
from plugtron.execution.lowering.torch_step import TorchStep
from plugtron.execution.native_buffers import NativeBuffers
from plugtron.execution.tracing import HEAD
from plugtron.kernels.sampling import on_one_thread

__all__ = ["Cuts"]


class Cuts:
    """The pieces of a plan that run through torch.

    Args:
        plan: what the program was written from; None: it has no such pieces.
        decoder: for the rotation.
    """

    def __init__(self, plan: Plan | None, decoder: Decoder) -> None:
        self._plan = plan
        self._decoder = decoder
        self._calls: Sequence[TorchCall] = [] if plan is None else plan.cuts
        self._steps = [TorchStep(call) for call in self._calls]
        if self._steps:
            counted = Counter(step.name.removeprefix("torch: ") for step in self._steps)
            pieces = "; ".join(f"{name} ({count} times)" for name, count in counted.items())
            warnings.warn(f"the native step runs some pieces through torch: {pieces}", stacklevel=2)

    @property
    def clears(self) -> bool:
        """Whether torch attends somewhere: it may read what no row has written."""
        return bool(self._steps)

    def is_light(self, number: int) -> bool:
        """Whether a piece has no products to share out among threads."""
        return self._steps[number].is_light

    def name(self, number: int) -> str:
        """What a piece computes, for reading."""
        return self._steps[number].name

    def run(self, number: int, batch: StepBatch, buffers: NativeBuffers, known: dict[Any, Any]) -> None:
        """Run a piece over a step's buffers; `known` is what others have left of this step for torch alone."""
        step, part = self._steps[number], self._calls[number].part
        statics: dict[str, Any] = {}
        if part != HEAD:
            statics = {"state": batch.memory.layers[part], "memory": batch.memory}
            if step.rotates:
                if "rotation" not in known:
                    with on_one_thread(batch.positions):
                        known["rotation"] = self._decoder.rotation(batch.positions)
                statics["rotation"] = known["rotation"]
        reads = [known[value] if not value.width else self._read(value, batch, buffers) for value in step.reads]
        largest = max((each for each in reads if isinstance(each, Tensor)), key=Tensor.numel, default=None)
        # Torch's other threads would spin in the way of the step's.
        with on_one_thread(largest) if step.is_light and largest is not None else nullcontext():
            results = step(reads, statics)
        for value, result in zip(step.writes, results, strict=True):
            if not value.width:
                known[value] = result
                continue
            assert self._plan is not None
            if self._plan.residuals.storage(value) in self._plan.buffers:
                self._write(step, value, result, buffers)

    def _read(self, value: Value, batch: StepBatch, buffers: NativeBuffers) -> Tensor:
        assert self._plan is not None
        offset, root, gathered = 0, value, False
        while root.base is not None:
            offset, root, gathered = offset + root.offset, root.base, gathered or root.gathered
        selected = root.rows == Rows.SELECTED
        rows = buffers.rows(self._plan.buffer(root), root.width, selected=selected)[:, offset : offset + value.width]
        # A piece may work in place, and others read the buffers too: it gets a copy.
        return rows[batch.logit_index] if gathered and batch.logit_index is not None else rows.clone()

    def _write(self, step: TorchStep, value: Value, result: object, buffers: NativeBuffers) -> None:
        assert self._plan is not None
        rows = buffers.rows(self._plan.buffer(value), value.width, selected=value.rows == Rows.SELECTED)
        if not isinstance(result, Tensor) or result.shape != rows.shape:
            got = list(result.shape) if isinstance(result, Tensor) else type(result).__name__
            raise PluginError(f"{step.name} gives {got} where rows {list(rows.shape)} are expected")
        rows.copy_(result.to(torch.float32))
