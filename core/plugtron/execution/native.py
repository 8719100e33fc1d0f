"""The native execution: a step as one foreign call, on a CPU; several where ranks share the layers."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from plugtron.contracts.context import InferenceContext
from plugtron.contracts.execution import Execution
from plugtron.contracts.memory import AttentionMetadata, LayerState
from plugtron.contracts.step import StepBatch
from plugtron.execution.lowering import LOGITS, operation_name
from plugtron.execution.packed import Operation, Packed
from plugtron.kernels.native.binding import NativeLayer, NativeTokens, Op, Program
from plugtron.nn.decoder import TransformerDecoder
from plugtron.parallel.group import Group

__all__ = ["NativeExecution", "Span"]

#: A stage of a step: its name, and its begin and end as time.monotonic_ns has them.
Span = tuple[str, int, int]


class NativeExecution(Execution):
    """Runs a decoder, or a pipeline stage's share of one; hidden states are float32 throughout.

    Args:
        decoder: for the embedding and the rotation; its layers are in `packed`.
        packed: the operations.
        group: the ranks that share each layer.
        vocabulary: the width of this rank's logits; None before the last stage.
        kernels: the compiled library.
        threads: how many run it.
    """

    hidden_dtype = torch.float32

    def __init__(
        self,
        decoder: TransformerDecoder,
        packed: Packed,
        group: Group,
        *,
        vocabulary: int | None,
        kernels: Path,
        threads: int,
    ) -> None:
        self._decoder = decoder
        self._packed = packed
        self._group = group
        self._vocabulary = vocabulary
        self._max_length = 0
        # Cosines and sines [max_length, D] float32 of all positions; None: nothing rotates, or nothing is to come.
        self._rotation: tuple[Tensor, Tensor] | None = None
        ops = [
            Op(**operation.fields, **{name: packed.tensors[at].data_ptr() for name, at in operation.tensors.items()})
            for operation in packed.operations
        ]
        self._program = Program(kernels, ops, threads)
        self._parts = [range(*ends) for ends in pairwise(sorted({0, *packed.all_reduce_points, len(ops)}))]
        #: Hears what each operation of a step took; None: nobody asks.
        self.observer: Callable[[list[Span]], None] | None = None
        self._layers: tuple[tuple[LayerState, ...], ctypes.Array[NativeLayer]] | None = None

    def prepare(self, context: InferenceContext) -> None:
        """Be ready for sequences as long as the context's, too."""
        context.clears = False  # its attention ends with a row's own tokens
        if context.max_length > self._max_length:
            self._max_length = context.max_length
            self._rotation = _tables(self._decoder, context.max_length)

    @property
    def weight_bytes(self) -> int:
        """Of all linear layers."""
        return sum(self._packed.tensors[linear.tensors["packed"]].nbytes for linear in self._linears())

    @property
    def layer_weights(self) -> int:
        """Those of the layers' matrices."""
        fields = [linear.fields for linear in self._linears() if linear.fields["target"] != LOGITS]
        return int(sum(each["inputs"] * each["outputs"] for each in fields))

    def _linears(self) -> list[Operation]:
        return [operation for operation in self._packed.operations if "packed" in operation.tensors]

    @torch.inference_mode()
    def run(self, batch: StepBatch, hidden: Tensor | None = None) -> Tensor:
        """Run a step from its tokens, or from the hidden states [T, H] of the stage before.

        Returns:
            This rank's logits [N, V / tp]; before the last stage hidden states [T, H]. Both are float32.
        """
        if hidden is None:
            hidden = self._decoder.embed(batch.tokens, batch.positions).float()
        memory, chosen = batch.memory, batch.logit_index
        owners = np.repeat(np.arange(len(memory.counts)), memory.counts)
        count = len(hidden) if chosen is None else len(chosen)
        logits = torch.empty(count, self._vocabulary or 0)
        cosines, sines = (None, None) if self._rotation is None else self._rotation
        tokens = NativeTokens(
            count=len(hidden),
            logit_count=count,
            block_size=memory.block_size,
            table_width=memory.block_tables.shape[1],
            positions=memory.positions.data_ptr(),
            owners=owners.ctypes.data,
            tables=memory.block_tables.data_ptr(),
            logit_index=None if chosen is None else chosen.data_ptr(),
            cosines=None if cosines is None else cosines.data_ptr(),
            sines=None if sines is None else sines.data_ptr(),
        )
        layers = self._states(memory)
        partial = torch.empty(hidden.shape, dtype=torch.float64) if self._packed.all_reduce_points else None
        address = None if partial is None else partial.data_ptr()
        ends = None if self.observer is None else (ctypes.c_int64 * len(self._packed.operations))()
        for part in self._parts:
            begin = time.monotonic_ns()
            self._program.run(part, layers, tokens, hidden.data_ptr(), logits.data_ptr(), address, ends)
            if self.observer is not None and ends is not None:
                self.observer(self._spans(part, begin, list(ends)))
            if partial is not None and part.stop in self._packed.all_reduce_points:
                hidden.copy_(self._group.all_reduce(partial))
        return hidden if self._vocabulary is None else logits

    def _spans(self, part: range, begin: int, ends: Sequence[int]) -> list[Span]:
        spans: list[Span] = []
        for at in part:
            spans.append((operation_name(self._packed.operations[at]), begin, ends[at]))
            begin = ends[at]
        return spans

    def _states(self, memory: AttentionMetadata) -> ctypes.Array[NativeLayer]:
        if self._layers is None or self._layers[0] is not memory.layers:
            entries = [
                NativeLayer(
                    keys=state.keys.data_ptr(),
                    values=state.values.data_ptr(),
                    window=state.window or 0,
                    bf16=state.keys.dtype == torch.bfloat16,
                )
                for state in memory.layers
            ]
            self._layers = memory.layers, (NativeLayer * len(entries))(*entries)
        return self._layers[1]


def _tables(decoder: TransformerDecoder, max_length: int) -> tuple[Tensor, Tensor] | None:
    rotation = decoder.rotation(torch.arange(max_length))
    if rotation is None:
        return None
    cosines, sines = (part.squeeze(1).float().contiguous() for part in rotation)
    return cosines, sines
