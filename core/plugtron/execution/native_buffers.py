"""The memory that a native step works in."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from plugtron.execution.lowering.calls import Rows
from plugtron.execution.lowering.program import NativeProgram

__all__ = ["NativeBuffers"]

#: Rows of an expert begin at a multiple of this (kTile in kernels/native/activations.h).
_TILE = 8


class NativeBuffers:
    """Buffers of rows of floats, by number; they grow with the steps.

    Args:
        program: says how wide they are.
    """

    def __init__(self, program: NativeProgram) -> None:
        self._program = program
        self._memory = [torch.empty(0) for _ in program.buffers]
        self._partial = torch.empty(0, dtype=torch.float64)
        self._tokens = self._selected = 0
        self.addresses = (ctypes.c_void_p * len(program.buffers))()

    def begin(self, hidden: Tensor, selected: int) -> Tensor:
        """Make room for a step that begins with hidden states [T, H]; `selected` of its rows want logits.

        Returns:
            What the step will leave its result in, [rows, width]; it is the caller's to keep.
        """
        program = self._program
        self._tokens, self._selected = len(hidden), selected
        pairs = self._tokens * program.pairs_per_token
        padded = pairs + min(pairs, program.experts) * (_TILE - 1)
        self._memory[0] = hidden.flatten()
        if program.result:
            rows = selected if program.result_selected else self._tokens
            self._memory[program.result] = torch.empty(rows * program.result_width)
        counts = {Rows.TOKENS: self._tokens, Rows.SELECTED: selected, Rows.PAIRS: padded}
        for number, buffer in enumerate(program.buffers):
            size = counts[Rows(buffer.rows)] * buffer.width
            if number not in (0, program.result) and len(self._memory[number]) < size:
                self._memory[number] = torch.empty(size)
            self.addresses[number] = self._memory[number].data_ptr()
        if program.result == 0:
            return hidden
        return self._memory[program.result].view(-1, program.result_width)

    def rows(self, buffer: int, width: int, *, selected: bool = False) -> Tensor:
        """A buffer as rows of `width` floats: of all tokens, or of those that want logits."""
        count = self._selected if selected else self._tokens
        return self._memory[buffer][: count * width].view(count, width)

    def partial(self, tokens: int) -> Tensor:
        """Room for what ranks sum up, in float64."""
        size = tokens * max((each.width for each in self._program.breaks if each.is_sum), default=0)
        if len(self._partial) < size:
            self._partial = torch.empty(size, dtype=torch.float64)
        return self._partial
