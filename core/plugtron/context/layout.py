"""Laying out a step over block tables: what attention is told of it."""

from __future__ import annotations

import numpy as np
import torch

from plugtron.contracts.memory import LayerState, MemoryView
from plugtron.contracts.step import StepPlan
from plugtron.utils.transfer import transfer

__all__ = ["lay_out"]


def lay_out(
    plan: StepPlan,
    *,
    layers: tuple[LayerState, ...],
    tables: np.ndarray,
    block_size: int,
    device: torch.device,
) -> MemoryView:
    """Lay out a plan over the block tables [slots, blocks] int64 of its context."""
    slots = np.array(plan.columns.slots)
    starts = np.array(plan.columns.starts)
    counts = np.array(plan.columns.sizes)
    ends = starts + counts
    row_starts = np.concatenate(([0], counts.cumsum()))
    if len(plan.rows) == row_starts[-1]:
        positions, owners = starts, slots
    else:
        positions = np.arange(row_starts[-1]) + np.repeat(starts - row_starts[:-1], counts)
        owners = np.repeat(slots, counts)
    held = tables[slots, : -(-int(ends.max()) // block_size)]
    # One transfer for all that the device has to know.
    sent = transfer(
        device,
        slots,
        ends,
        row_starts,
        held,
        positions,
        tables[owners, positions // block_size],
        positions % block_size,
    )
    return MemoryView(
        layers=layers,
        block_size=block_size,
        starts=starts,
        counts=counts,
        slots=sent[0],
        lengths=sent[1],
        row_starts=sent[2],
        tables=sent[3],
        positions=sent[4],
        write_blocks=sent[5],
        write_offsets=sent[6],
        first_blocks=held[:, 0],
    )
