"""No stop token before a number of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler
from plugtron.request import InferenceSequence
from plugtron_samplers.at_tokens import mask_at
from plugtron_samplers.params import MinTokensParams
from plugtron_samplers.slot_rows import SlotRows, grown
from plugtron_samplers.token_history import NO_TOKEN

__all__ = ["MinTokens"]


class MinTokens(Sampler):
    """Masks the ids that would end a sequence while it is shorter than `min_tokens`, which Megatron calls min_length.

    Args:
        eos_ids: the ids that end a sequence besides the request's own stop_token_ids.
    """

    params = MinTokensParams

    def __init__(self, eos_ids: Sequence[int], device: torch.device) -> None:
        self._eos_ids = tuple(eos_ids)
        self._device = device
        self._stops: dict[int, Tensor] = {}
        # The same as a table for kernels.
        self._rows = SlotRows(device)
        self._table = torch.full((1, 1), NO_TOKEN, dtype=torch.int64, device=device)
        # How many tokens each has drawn: the sequence itself may not know of the last one yet.
        self._drawn: dict[int, int] = {}
        self._least: dict[int, int] = {}

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> MinTokens:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        eos_ids = parts.wrapper.info.eos_ids if parts.tokenizer is None else parts.tokenizer.eos_ids
        there = [token for token in eos_ids if token < parts.wrapper.info.vocab_size]
        return cls(there, parts.runtime.device)

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Keep the stop tokens on the device."""
        params = sequence.request.params
        ends = (*(() if params.ignore_eos else self._eos_ids), *(params.stop_token_ids or ()))
        self._stops[slot] = torch.tensor(ends, dtype=torch.int64, device=self._device)
        row = self._rows.add(slot)
        self._table = grown(self._table, self._rows.count, len(ends), NO_TOKEN)
        self._table[row] = NO_TOKEN
        self._table[row, : len(ends)] = self._stops[slot]
        self._drawn[slot] = len(sequence.tokens)
        self._least[slot] = params.min_tokens or 0

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._stops.pop(slot, None)
        self._rows.remove(slot)
        self._drawn.pop(slot, None)
        self._least.pop(slot, None)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """A mask of the stop tokens."""
        long = torch.from_numpy(np.array([not self._is_short(slot) for slot in slot_ids]))
        return RowStage(op=RowOp.MASK, rows=self._rows.owned(slots, slot_ids).masked_fill(long, -1), ids=self._table)

    def _is_short(self, slot: int) -> bool:
        return self._drawn.get(slot, 0) < self._least.get(slot, 0)

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask the stop tokens of the rows that are still too short."""
        slot_ids = candidates.slot_ids
        short = [row for row, slot in enumerate(slot_ids) if self._is_short(slot)]
        if not short:
            return candidates
        logits = candidates.logits.clone()
        for row in short:
            mask_at(logits[row], None if candidates.ids is None else candidates.ids[row], self._stops[slot_ids[row]])
        return replace(candidates, logits=logits)

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Count what was drawn."""
        del tokens
        for slot in slot_ids:
            self._drawn[slot] += 1
