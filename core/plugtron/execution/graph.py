"""The graph execution: steps over Triton kernels on a GPU, decode steps captured once per number of rows."""

# torch's one launch for many tensors is not among its public names.
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from plugtron.context.memory import LayerState, MemoryView
from plugtron.contracts.step import StepBatch
from plugtron.execution.eager import EagerExecution
from plugtron.execution.kernel_step import kernel_step
from plugtron.execution.recorder import Recorder
from plugtron.execution.step_inputs import ChunkInputs, DecodeInputs
from plugtron.nn.decoder import TransformerDecoder

__all__ = ["BUCKETS", "GraphExecution"]

#: Numbers of rows that steps are captured for; a step of fewer rows runs as the next larger one.
BUCKETS = (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    """A step of so many rows: where its inputs go, and how it is run."""

    inputs: DecodeInputs
    run: Callable[[], Tensor]


class GraphExecution:
    """Replays decode steps; with chunks of prompts, or with more rows than graphs are for, kernels are launched singly.

    Args:
        decoder: all of it, made of blocks of plugtron.nn alone.
        dtype: what hidden states are in.
        captures: steps are captured; else their kernels are launched one by one, which any device can do.
    """

    def __init__(self, decoder: TransformerDecoder, *, dtype: torch.dtype, captures: bool) -> None:
        self._decoder = decoder
        self._eager = EagerExecution(decoder, last=True, dtype=dtype)
        self._max_length = 0
        self._layers: tuple[LayerState, ...] = ()
        self._steps: dict[int, _Step] = {}
        self._recorder = Recorder() if captures else None
        #: How long capturing has taken so far.
        self.capture_seconds = 0.0
        #: How much memory what has been captured takes.
        self.capture_bytes = 0

    @property
    def hidden_dtype(self) -> torch.dtype:
        """What hidden states are in."""
        return self._eager.hidden_dtype

    @property
    def weight_bytes(self) -> int:
        """Of everything but an embedding that is no head."""
        return self._eager.weight_bytes

    @property
    def layer_weights(self) -> int:
        """Those of the layers' matrices."""
        return self._eager.layer_weights

    def extend(self, max_length: int) -> None:
        """Be ready for sequences of `max_length` tokens too."""
        if max_length > self._max_length:
            self._max_length = max_length
            self._forget_steps()

    @torch.inference_mode()
    def run(self, batch: StepBatch, hidden: Tensor | None = None) -> Tensor:
        """Run a step from its tokens.

        Returns:
            This rank's logits [N, V / tp] in float32, good until the next step.
        """
        assert hidden is None, "there are no stages before"
        # The device is each thread's own choice, and Triton's kernels go to the one that is chosen.
        with torch.cuda.device(batch.tokens.device if batch.tokens.is_cuda else -1):
            return self._run(batch)

    def _run(self, batch: StepBatch) -> Tensor:
        memory, rows = batch.memory, len(batch.slots)
        decodes = batch.logit_index is None and len(batch.tokens) == rows
        if not decodes or rows > BUCKETS[-1]:
            inputs = ChunkInputs.of(batch, self._max_length)
            return kernel_step(self._decoder, memory.layers, inputs, batch.logit_index)
        if self._layers is not memory.layers:
            self._layers = memory.layers
            self._forget_steps()
        bucket = next(bucket for bucket in BUCKETS if bucket >= rows)
        if bucket not in self._steps:
            self._steps[bucket] = self._prepare(bucket, memory)
        step = self._steps[bucket]
        _fill(step.inputs, batch, rows)
        return step.run()[:rows]

    def _prepare(self, rows: int, memory: MemoryView) -> _Step:
        inputs = DecodeInputs.zeros(
            rows, longest=self._max_length, block_size=memory.block_size, device=memory.tables.device
        )

        def run() -> Tensor:
            return kernel_step(self._decoder, memory.layers, inputs)

        if self._recorder is None:
            return _Step(inputs=inputs, run=run)
        begin = time.perf_counter()
        step = _Step(inputs=inputs, run=self._recorder.record(run))
        self.capture_seconds += time.perf_counter() - begin
        return step

    def _forget_steps(self) -> None:
        self._steps.clear()
        if self._recorder is not None:
            self._recorder = Recorder()  # a pool of memory is over with the last of its graphs


def _fill(inputs: DecodeInputs, batch: StepBatch, rows: int) -> None:
    """Put a step's rows where they are read, and zeros after them, whose keys and values go to scratch."""
    memory = batch.memory
    blocks = memory.tables.shape[1]
    targets = (inputs.tokens, inputs.positions, inputs.lengths, inputs.write_blocks, inputs.write_offsets)
    sources = (batch.tokens, batch.positions, memory.lengths, memory.write_blocks, memory.write_offsets)
    torch._foreach_copy_(
        [*(target[:rows] for target in targets), inputs.tables[:rows, :blocks]], [*sources, memory.tables]
    )
    if rows < len(inputs.tokens):
        torch._foreach_zero_([target[rows:] for target in (*targets, inputs.tables)])
