"""The native execution: a step as one foreign call, on a CPU; several where ranks or torch have a part in it."""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from plugtron.contracts.context import InferenceContext
from plugtron.contracts.decoder import Decoder
from plugtron.contracts.execution import Execution
from plugtron.contracts.memory import AttentionMetadata, LayerState
from plugtron.contracts.step import StepBatch, StepOutput
from plugtron.execution.final_states import FinalStates, why_no_final_states
from plugtron.execution.lowering.program import Break, Record, operation_name
from plugtron.execution.native_buffers import NativeBuffers
from plugtron.execution.native_cuts import Cuts
from plugtron.execution.packed import Packed
from plugtron.kernels.native.binding import NativeLayer, NativeTokens, Op, Program, RowStep
from plugtron.parallel.group import Group

__all__ = ["KV_DTYPES", "NativeExecution", "Span"]

#: Of keys and values that the kernels read, with their numbers there (Stored in memory.h).
KV_DTYPES = {torch.float32: 0, torch.bfloat16: 1, torch.int8: 2}

#: A stage of a step: its name, and its begin and end as time.monotonic_ns has them.
Span = tuple[str, int, int]


class NativeExecution(Execution):
    """Runs a decoder, or a pipeline stage's share of one; hidden states are float32 throughout.

    Args:
        decoder: for the embedding and the rotation; its layers are in `packed`.
        packed: the program.
        cuts: what of it runs through torch.
        group: the ranks that share each layer.
        kernels: the compiled library.
        functions: of operations from outside, by the operation's number.
        final: makes final hidden states, on the last stage; None: the decoder has no `final_states`.
        threads: how many run it.
    """

    hidden_dtype = torch.float32

    def __init__(
        self,
        decoder: Decoder,
        packed: Packed,
        cuts: Cuts,
        group: Group,
        *,
        kernels: Path,
        functions: dict[int, int],
        threads: int,
        final: FinalStates | None = None,
    ) -> None:
        self._decoder = decoder
        self._final = final
        self._packed = packed
        self._cuts = cuts
        self._group = group
        self._max_length = 0
        # Cosines and sines [max_length, D] float32 of all positions; and their addresses.
        self._rotation: list[Tensor] = []
        self._addresses = (ctypes.c_void_p * 0)()
        program = packed.program
        ops = [
            Op(**each.fields, **packed.addresses(each), function=functions.get(number))
            for number, each in enumerate(program.operations)
        ]
        steps = [RowStep(**each.fields, **packed.addresses(each)) for each in program.row_steps]
        self._program = Program(kernels, ops, steps, threads)
        self._buffers = NativeBuffers(program)
        self._stretches = _stretches([each for each in program.breaks if each.layers is None], len(ops))
        self._layer_by_layer = _stretches(program.breaks, len(ops))
        #: Hears what each operation of a step took; None: nobody asks.
        self.observer: Callable[[list[Span]], None] | None = None
        self._layers: tuple[tuple[LayerState, ...], ctypes.Array[NativeLayer]] | None = None

    def release(self) -> None:
        """Forget where the layers' memory is."""
        self._layers = None

    def prepare(self, context: InferenceContext) -> None:
        """Be ready for sequences as long as the context's, too."""
        context.clears = self._cuts.clears  # native attention ends with a row's own tokens
        if context.max_length > self._max_length:
            self._max_length = context.max_length
            self._rotation = _tables(self._decoder, context.max_length)
            self._addresses = (ctypes.c_void_p * len(self._rotation))(*(part.data_ptr() for part in self._rotation))

    @property
    def weight_bytes(self) -> int:
        """Of all linear layers; of experts, as many as a token goes to."""
        return int(sum(self._bytes(each) for each in self._linears()))

    def _bytes(self, linear: Record) -> float:
        size = self._packed.tensors[linear.tensors["packed"]].nbytes
        program = self._packed.program
        return size * program.pairs_per_token / program.experts if _is_of_experts(linear) else size

    @property
    def layer_weights(self) -> int:
        """Those of the layers' matrices."""
        program = self._packed.program
        sizes = [
            each.fields["inputs"] * each.fields["outputs"] * (program.pairs_per_token if _is_of_experts(each) else 1)
            for each in self._linears()
            if each.fields["target_buffer"] != program.result or not program.result_selected
        ]
        return int(sum(sizes))

    def _linears(self) -> list[Record]:
        return [operation for operation in self._packed.program.operations if "packed" in operation.tensors]

    @torch.inference_mode()
    def run(self, batch: StepBatch, hidden: Tensor | None = None) -> Tensor:
        """Run a step from its tokens, or from the hidden states [T, H] of the stage before.

        Returns:
            This rank's logits [N, V / tp]; before the last stage hidden states [T, H]. Both are float32.
        """
        return self._run(batch, self._begun(batch, hidden), self._stretches, {})

    def _begun(self, batch: StepBatch, hidden: Tensor | None) -> Tensor:
        return self._decoder.embed(batch.tokens, batch.positions).float() if hidden is None else hidden

    def _run(
        self, batch: StepBatch, hidden: Tensor, stretches: Sequence[tuple[range, Break | None]], kept: dict[int, Tensor]
    ) -> Tensor:
        """Run stretches of operations; hidden states after layers that are wanted go to `kept`."""
        memory, chosen = batch.memory, batch.logit_index
        owners = np.repeat(np.arange(len(memory.counts)), memory.counts)
        tokens = NativeTokens(
            count=len(hidden),
            logit_count=len(hidden) if chosen is None else len(chosen),
            block_size=memory.block_size,
            table_width=memory.block_tables.shape[1],
            positions=memory.positions.data_ptr(),
            owners=owners.ctypes.data,
            block_tables=memory.block_tables.data_ptr(),
            logit_index=None if chosen is None else chosen.data_ptr(),
            tables=ctypes.addressof(self._addresses),
        )
        result = self._buffers.begin(hidden.contiguous(), tokens.logit_count)
        partial = self._buffers.partial(len(hidden)) if self._group.size > 1 else None
        address = None if partial is None else partial.data_ptr()
        layers, known = self._states(memory), dict[Any, Any]()
        ends = None if self.observer is None else (ctypes.c_int64 * len(self._packed.program.operations))()
        for some, after in stretches:
            begin = time.monotonic_ns()
            if some:
                more = after is not None and (after.cut is None or self._cuts.is_light(after.cut))
                self._program.run(some, layers, tokens, self._buffers.addresses, address, ends, more=more)
            if self.observer is not None and ends is not None:
                self.observer(self._spans(some, begin, list(ends)))
            if after is not None and after.layers is not None:
                if after.layers in batch.hidden_layers:
                    kept[after.layers] = self._buffers.rows(after.buffer, after.width)[batch.hidden_index]
            elif after is not None:
                self._between(after, batch, known, partial)
        return result

    def why_no_hidden_states(self, *, layers: bool = False) -> str:
        """Say what the decoder lacks."""
        del layers
        return why_no_final_states(self._decoder)

    @torch.inference_mode()
    def run_with_hidden_states(self, batch: StepBatch, hidden: Tensor | None = None) -> StepOutput:
        """Run a step of the last stage, as `run`; layers are counted from this stage's first."""
        program = self._packed.program
        assert self._final is not None
        assert program.before_head is not None
        assert batch.hidden_index is not None
        hidden, wanted = self._begun(batch, hidden), batch.hidden_layers
        kept = {0: hidden[batch.hidden_index]} if 0 in wanted else {}
        logits = self._run(batch, hidden, self._layer_by_layer if wanted else self._stretches, kept)
        left = self._buffers.rows(program.before_head, hidden.shape[1])
        final = kept[len(batch.memory.layers)] = self._final(left[batch.hidden_index])
        return StepOutput(logits, final, tuple([kept[layer] for layer in wanted]))

    def _between(self, after: Break, batch: StepBatch, known: dict[Any, Any], partial: Tensor | None) -> None:
        """Do what is not the kernels' to do."""
        begin = time.monotonic_ns()
        if after.cut is not None:
            self._cuts.run(after.cut, batch, self._buffers, known)
            name = self._cuts.name(after.cut)
        else:
            assert partial is not None
            name, rows = "all-reduce", self._buffers.rows(after.buffer, after.width)
            own = partial[: rows.numel()].view(rows.shape)
            rows.copy_(self._group.all_reduce(own))
        if self.observer is not None:
            self.observer([(name, begin, time.monotonic_ns())])

    def _spans(self, some: range, begin: int, ends: Sequence[int]) -> list[Span]:
        spans: list[Span] = []
        for at in some:
            spans.append((operation_name(self._packed.program, at), begin, ends[at]))
            begin = ends[at]
        return spans

    def _states(self, memory: AttentionMetadata) -> ctypes.Array[NativeLayer]:
        if self._layers is None or self._layers[0] is not memory.layers:
            entries = [
                NativeLayer(
                    keys=state.keys.data_ptr(),
                    values=state.values.data_ptr(),
                    key_scales=None if state.key_scales is None else state.key_scales.data_ptr(),
                    value_scales=None if state.value_scales is None else state.value_scales.data_ptr(),
                    window=state.window or 0,
                    chunk=state.chunk or 0,
                    stored=KV_DTYPES[state.keys.dtype],
                )
                for state in memory.layers
            ]
            self._layers = memory.layers, (NativeLayer * len(entries))(*entries)
        return self._layers[1]


def _is_of_experts(linear: Record) -> bool:
    return linear.fields.get("experts", 0) > 0


def _stretches(breaks: Sequence[Break], count: int) -> list[tuple[range, Break | None]]:
    """The operations between breaks, and what comes after each of them."""
    ends = [0, *(each.before for each in breaks), count]
    return [(range(*pair), after) for pair, after in zip(pairwise(ends), [*breaks, None], strict=True)]


def _tables(decoder: Decoder, max_length: int) -> list[Tensor]:
    rotation = decoder.rotation(torch.arange(max_length))
    return [] if rotation is None else [part.flatten(1).float().contiguous() for part in rotation]
