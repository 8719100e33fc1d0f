"""The native execution: a step as one foreign call, on a CPU."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from plugtron.context.memory import LayerState, MemoryView
from plugtron.contracts.step import StepBatch
from plugtron.execution.lowering import Listing
from plugtron.kernels.native.binding import NativeLayer, NativeTokens, Program
from plugtron.nn.decoder import TransformerDecoder

__all__ = ["NativeExecution"]


class NativeExecution:
    """Runs a whole decoder over quantised weights; hidden states are float32 throughout.

    Args:
        decoder: for the embedding and the rotation; its layers are in `listing`.
        listing: the operations.
        vocabulary: the width of the logits.
        max_length: the longest sequence, which tables of the rotation are made for.
        kernels: the compiled library.
    """

    def __init__(
        self, decoder: TransformerDecoder, listing: Listing, *, vocabulary: int, max_length: int, kernels: Path
    ) -> None:
        self._decoder = decoder
        self._listing = listing
        self._vocabulary = vocabulary
        # Cosines and sines [max_length, D] float32 of all positions; None: nothing rotates.
        self._rotation = _tables(decoder, max_length)
        self._program = Program(kernels, listing.ops, torch.get_num_threads())
        self._layers: tuple[tuple[LayerState, ...], ctypes.Array[NativeLayer]] | None = None

    @torch.inference_mode()
    def run(self, batch: StepBatch, hidden: Tensor | None = None) -> Tensor:
        """Run a step from its tokens; returns logits [N, V] float32."""
        assert hidden is None, "the native step has all layers"
        hidden = self._decoder.embed(batch.tokens, batch.positions).float()
        memory, chosen = batch.memory, batch.logit_index
        owners = np.repeat(np.arange(len(memory.counts)), memory.counts)
        count = len(hidden) if chosen is None else len(chosen)
        logits = torch.empty(count, self._vocabulary)
        cosines, sines = (None, None) if self._rotation is None else self._rotation
        tokens = NativeTokens(
            count=len(hidden),
            logit_count=count,
            block_size=memory.block_size,
            table_width=memory.tables.shape[1],
            positions=memory.positions.data_ptr(),
            owners=owners.ctypes.data,
            tables=memory.tables.data_ptr(),
            logit_index=None if chosen is None else chosen.data_ptr(),
            cosines=None if cosines is None else cosines.data_ptr(),
            sines=None if sines is None else sines.data_ptr(),
        )
        self._program.run(self._states(memory), tokens, hidden.data_ptr(), logits.data_ptr())
        return logits

    def _states(self, memory: MemoryView) -> ctypes.Array[NativeLayer]:
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
