"""Laying out a step over block tables: what attention is told of it."""

from __future__ import annotations

import numpy as np
import torch

from plugtron.contracts.memory import AttentionMetadata, LayerState
from plugtron.contracts.step import StepPlan
from plugtron.utils.transfers import transfer

__all__ = ["lay_out"]


def lay_out(
    plan: StepPlan,
    *,
    layers: tuple[LayerState, ...],
    tables: np.ndarray,
    block_size: int,
    device: torch.device,
) -> AttentionMetadata:
    """Lay out a plan over the block tables [slots, blocks] int64 of its context."""
    slots = np.array(plan.columns.slots)
    starts = np.array(plan.columns.num_computed)
    counts = np.array(plan.columns.num_new)
    ends = starts + counts
    query_start_loc = np.concatenate(([0], counts.cumsum()))
    if len(plan.rows) == query_start_loc[-1]:
        positions, owners = starts, slots
    else:
        positions = np.arange(query_start_loc[-1]) + np.repeat(starts - query_start_loc[:-1], counts)
        owners = np.repeat(slots, counts)
    held = tables[slots, : -(-int(ends.max()) // block_size)]
    # One transfer for all that the device has to know.
    sent = transfer(
        device,
        slots,
        ends,
        query_start_loc,
        held,
        positions,
        tables[owners, positions // block_size],
        positions % block_size,
    )
    return AttentionMetadata(
        layers=layers,
        block_size=block_size,
        starts=starts,
        counts=counts,
        slots=sent[0],
        seq_lens=sent[1],
        query_start_loc=sent[2],
        block_tables=sent[3],
        positions=sent[4],
        write_blocks=sent[5],
        write_offsets=sent[6],
        first_blocks=held[:, 0],
    )
