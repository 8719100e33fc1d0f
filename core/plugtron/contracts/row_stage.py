"""Stages of a chain as operations on one row of logits, which kernels run in one pass with the draw."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

__all__ = ["RowOp", "RowStage"]


class RowOp(IntEnum):
    """What a stage does to the logits of a row, with the numbers that it goes by, in their order.

    The first six read a row of tables; a row without one is left as it is. The others go by numbers alone.
    """

    ALLOW = 0
    """Masks the ids whose bit in `flags` is 0; the lowest bit of a byte is the lowest of eight ids."""
    MASK = 1
    """Masks `ids`."""
    ADD = 2
    """Adds `values` to the logits of `ids`."""
    PENALIZE = 3
    """Repetition, presence, frequency penalty of `ids`; `values`, by id [R, V], say how often each was drawn."""
    PENALIZE_REPEATED = 4
    """DRY: multiplier, base, allowed length, range. `ids` is a history, `values` [R, L] int64 how many tokens before a
    place are the same as the last ones; `flags`, a byte for each id, are ids that lose nothing."""
    MASK_REPEATED = 5
    """Masks the ids of a history that have at least so many tokens before them that are the same; `values` as above."""
    DYNAMIC_TEMPERATURE = 6
    """Range (0: nothing), exponent, fixed temperature."""
    DIVIDE = 7
    """By the number; 1: nothing."""
    TOP_N_SIGMA = 8
    """Standard deviations; infinity: nothing."""
    TOP_K = 9
    """How many; infinity: nothing."""
    MIN_P = 10
    """The logarithm of the share of the greatest probability; -infinity: nothing."""
    TYPICAL_P = 11
    """The probability; 1: nothing."""
    TOP_P = 12
    """The probability; above 1: nothing."""
    EPSILON_CUTOFF = 13
    """The probability; 0: nothing."""
    ETA_CUTOFF = 14
    """Eta; 0: nothing."""
    EXCLUDE_TOP = 15
    """XTC: probability (0: nothing), threshold. The decision follows from the row's seed and position."""
    MIROSTAT = 16
    """The greatest surprise in bits; infinity: nothing. `result` gets the surprise of what is drawn."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowStage:
    """An operation for the N rows of a batch. Tensors lie in one piece, on a CPU.

    Attributes:
        op: what is done.
        numbers: [N, P] float32.
        rows: [N] int64, which row of the tables is whose, -1: it has none; None: the n-th is the n-th row's.
        ids: [R, L] int64; the first that is below 0 ends a row.
        values: [R, W], float32, or int64 where they count tokens.
        flags: [R, B], bytes or bool.
        result: [N] float32, written for the rows that a token is drawn for.
    """

    op: RowOp
    numbers: torch.Tensor | None = None
    rows: torch.Tensor | None = None
    ids: torch.Tensor | None = None
    values: torch.Tensor | None = None
    flags: torch.Tensor | None = None
    result: torch.Tensor | None = None
