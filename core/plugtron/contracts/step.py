"""One step, from the plan that an engine makes to what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from plugtron.request import LogProbs

if TYPE_CHECKING:
    import torch

    from plugtron.context.memory import MemoryView

__all__ = ["Row", "RowResult", "StepBatch", "StepPlan", "StepResult"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one sequence does in one step.

    Args:
        slot: its place in KV memory, stable while it is active.
        start: how many of its tokens are in memory already.
        tokens: the ids to compute; empty for one token, the last drawn, which the device has.
        room: how many tokens memory is reserved for.
        wants_logits: of how many of the last positions; 0 for an unfinished chunk of a prompt.
    """

    slot: int
    start: int
    tokens: tuple[int, ...] = ()
    room: int
    wants_logits: int = 1

    @property
    def count(self) -> int:
        """How many tokens this row computes."""
        return len(self.tokens) or 1

    @property
    def end(self) -> int:
        """How many tokens are in memory after the step."""
        return self.start + self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class StepPlan:
    """The rows of one step, in the order in which their tokens are laid out."""

    step: int
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBatch:
    """A step's input on the device: T tokens of R rows, of which N positions want logits.

    Shapes: tokens, positions [T] int64; row_starts [R + 1] and slots [R] int64; logit_index [N] int64, or None
    when every token wants logits.
    """

    tokens: torch.Tensor
    positions: torch.Tensor
    row_starts: torch.Tensor
    slots: torch.Tensor
    logit_index: torch.Tensor | None
    memory: MemoryView


@dataclass(frozen=True, slots=True, kw_only=True)
class RowResult:
    """What a step gave one slot: no token, one, or several; or the reason why its request fails."""

    slot: int
    tokens: tuple[int, ...] = ()
    log_probs: tuple[LogProbs, ...] = ()
    failure: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepResult:
    """What a step gave, row by row, equal on every rank of the model."""

    step: int
    rows: tuple[RowResult, ...]
