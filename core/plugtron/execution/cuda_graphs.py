"""Steps at fixed addresses, of fixed numbers of rows or tokens: what a graph can be captured of.

A step of fewer runs as the next larger one, with zeros for what is not there.
"""

# torch's one launch for many tensors is not among its public names.
# pyright: reportPrivateImportUsage=false

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from plugtron.contracts.memory import LayerState
from plugtron.contracts.step import StepBatch
from plugtron.execution.graph_capture import Recorder
from plugtron.execution.step_inputs import DecodeInputs, TileInputs
from plugtron.execution.triton_forward import TritonForward
from plugtron.kernels.triton.chunk_attention import tiles_of
from plugtron.utils.transfers import transfer

__all__ = ["FixedSteps", "StepMaker", "needed"]

#: Runs a batch that is not larger than the step.
Step = Callable[[StepBatch], Tensor]


def needed(sizes: Sequence[int], most: int) -> tuple[int, ...]:
    """The sizes to capture, ascending, so that batches up to `most` fit; all of them where even the last is smaller."""
    below = [size for size in sizes if size < most]
    return tuple(sizes[: len(below) + 1])


class FixedSteps:
    """Steps of one kind, made for a size when one is first wanted."""

    def __init__(self, sizes: Sequence[int], make: Callable[[int], Step]) -> None:
        self._sizes = sizes
        self._make = make
        self._made: dict[int, Step] = {}

    @property
    def most(self) -> int:
        """The largest size."""
        return self._sizes[-1]

    def make(self, most: int) -> None:
        """Make those that sizes up to `most` need: the largest first, so that the others find room in its memory."""
        for size in reversed(needed(self._sizes, most)):
            if size not in self._made:
                self._made[size] = self._make(size)

    def run(self, batch: StepBatch, size: int) -> Tensor:
        """Run a batch of `size` rows or tokens; return as many rows, good until the next step."""
        fixed = needed(self._sizes, size)[-1]
        if fixed not in self._made:
            self._made[fixed] = self._make(fixed)
        return self._made[fixed](batch)[:size]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepMaker:
    """Makes steps over the memory of some layers.

    Args:
        slots: how many rows a step may have.
        longest: how many tokens a sequence may come to.
        tile: how many tokens attend together.
        recorder: captures; None: kernels are launched one by one.
    """

    decoder: TritonForward
    layers: tuple[LayerState, ...]
    slots: int
    longest: int
    block_size: int
    tile: int
    recorder: Recorder | None
    # Where steps of any number of rows leave their logits: only one runs at a time. The largest is made first.
    _results: list[Tensor] = field(default_factory=list)

    def decodes(self, rows: int) -> Step:
        """A step of rows of one token each; it returns logits [rows, V / tp] in float32."""
        inputs = DecodeInputs.zeros(rows, longest=self.longest, block_size=self.block_size, device=self._device)

        def compute() -> Tensor:
            found = self.decoder.logits(self.decoder.hidden_states(self.layers, inputs))
            if not self._results or len(self._results[-1]) < rows:
                self._results.append(torch.empty(found.shape, dtype=torch.float32, device=found.device))
            return self._results[-1][:rows].copy_(found)

        replay = self._recorded(compute)

        def run(batch: StepBatch) -> Tensor:
            memory = batch.memory
            _fill(inputs.tables, memory.block_tables, (
                (inputs.tokens, batch.tokens), (inputs.positions, batch.positions), (inputs.lengths, memory.seq_lens),
                (inputs.write_blocks, memory.write_blocks), (inputs.write_offsets, memory.write_offsets),
            ))  # fmt: skip
            return replay()

        return run

    def tiles(self, tokens: int) -> Step:
        """A step of so many tokens in tiles; it returns what the head looks at, [tokens, H]."""
        rows = min(tokens, self.slots)
        inputs = TileInputs.zeros(
            tokens, rows=rows, tiles=min(tokens, rows + tokens // self.tile), longest=self.longest,
            block_size=self.block_size, device=self._device,
        )  # fmt: skip
        replay = self._recorded(lambda: self.decoder.hidden_states(self.layers, inputs))

        def run(batch: StepBatch) -> Tensor:
            memory = batch.memory
            (tiles,) = transfer(self._device, tiles_of(memory.spans, self.tile))
            _fill(inputs.tables, memory.block_tables, (
                (inputs.tokens, batch.tokens), (inputs.positions, batch.positions), (inputs.tiles, tiles),
                (inputs.write_blocks, memory.write_blocks), (inputs.write_offsets, memory.write_offsets),
            ))  # fmt: skip
            return replay()

        return run

    def _recorded(self, run: Callable[[], Tensor]) -> Callable[[], Tensor]:
        return run if self.recorder is None else self.recorder.record(run)

    @property
    def _device(self) -> torch.device:
        return self.layers[0].keys.device


def _fill(tables: Tensor, held: Tensor, pairs: Sequence[tuple[Tensor, Tensor]]) -> None:
    """Put what a step has where it is read, and zeros after it, whose keys and values go to scratch.

    Of tables only what a row's length covers is ever read.
    """
    rows, blocks = held.shape
    tables[:rows, :blocks].copy_(held)
    torch._foreach_copy_([target[: len(source)] for target, source in pairs], [source for _, source in pairs])
    left = [target[len(source) :] for target, source in pairs if len(source) < len(target)]
    if left:
        torch._foreach_zero_(left)
