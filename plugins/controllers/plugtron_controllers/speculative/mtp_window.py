"""What the modules of multi-token prediction have of one sequence, and what they have yet to read."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from plugtron.request import InferenceSequence

__all__ = ["Reading", "Window"]


@dataclass(slots=True)
class Reading:
    """How far one module has come.

    The positions from the window's first up to `done` are in its memory, for good. `inputs` [P, H] are the hidden
    states that it reads at those from `done` on.
    """

    done: int
    inputs: Tensor

    @property
    def end(self) -> int:
        """The position after the last whose hidden state is there."""
        return self.done + len(self.inputs)

    def move(self, count: int) -> None:
        """Note that so many positions more are in memory."""
        self.done += count
        self.inputs = self.inputs[count:]


class Window:
    """The positions of a sequence from `first` on, without a gap: modules know nothing of what came before.

    It begins anew where hidden states are missing in between: those of a prefix that was shared are computed by nobody.

    Args:
        depths: how many modules there are.
        nothing: [0, H], no hidden states, on the device.
    """

    def __init__(self, sequence: InferenceSequence, depths: int, nothing: Tensor) -> None:
        assert sequence.slot is not None
        self.sequence = sequence
        self.slot = sequence.slot
        self._nothing = nothing
        self.first = 0
        self.readings = [Reading(0, nothing) for _ in range(depths)]

    def add(self, start: int, hidden: Tensor) -> None:
        """Add the model's hidden states [N, H] of the positions from `start` on.

        Those that were there from `start` on were of draft tokens. What is in memory is not computed again after a
        preemption.
        """
        reading = self.readings[0]
        if start > reading.end:
            self.first = start
            self.readings = [Reading(start, self._nothing) for _ in self.readings]
            reading = self.readings[0]
        kept = reading.inputs[: max(0, start - reading.done)]
        reading.inputs = torch.cat((kept, hidden[max(0, reading.done - start) :]))

    def ready(self, depth: int) -> int:
        """How many positions a module can read: both the hidden state and the token, which lies ahead, are known."""
        reading = self.readings[depth]
        return max(0, min(reading.end, self.sequence.length - 1 - depth) - reading.done)
