"""Penalties on tokens that have been there before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, Sampler
from plugtron.request import InferenceSequence
from plugtron.utils import transfer
from plugtron_samplers.params import PenaltiesParams
from plugtron_samplers.slot_values import SlotValues

__all__ = ["Penalties"]


class Penalties(Sampler):
    """Repetition (arXiv:1909.05858): logits of ids in prompt or answer are divided by it if positive, else multiplied.

    Presence and frequency (OpenAI's): subtracted once, and once per occurrence, for ids in the answer.

    Histories are rows of two tables, [rows, V]: which ids were in prompt or answer, and how often in the answer. The
    first row belongs to nobody and stays empty, so that slots without penalties need no case of their own.
    """

    params = PenaltiesParams

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._device = device
        self._seen = torch.zeros(1, vocab_size, dtype=torch.bool, device=device)
        self._counts = torch.zeros(1, vocab_size, device=device)
        self._row_of: dict[int, int] = {}
        self._free: list[int] = []
        self._rows = SlotValues(0, device, torch.int64)
        self._repetition = SlotValues(1.0, device)
        self._presence = SlotValues(0.0, device)
        self._frequency = SlotValues(0.0, device)

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> Penalties:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.wrapper.info.vocab_size, parts.runtime.device)

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Begin a history with the prompt, and with what had been generated before the slot was given."""
        params, row = sequence.request.params, self._take_row()
        self._row_of[slot] = row
        self._rows.set(slot, row)
        self._repetition.set(slot, 1.0 if params.repetition_penalty is None else params.repetition_penalty)
        self._presence.set(slot, params.presence_penalty or 0.0)
        self._frequency.set(slot, params.frequency_penalty or 0.0)
        prompt, answer = transfer(
            self._device,
            np.array(sequence.request.prompt_tokens, dtype=np.int64),
            np.array(sequence.tokens, dtype=np.int64),
        )
        self._seen[row, prompt] = True
        self._seen[row, answer] = True
        self._counts[row].index_add_(0, answer, torch.ones_like(answer, dtype=torch.float32))

    def remove(self, slot: int) -> None:
        """Forget it."""
        row = self._row_of.pop(slot, None)
        if row is not None:
            self._free.append(row)
            for values in (self._rows, self._repetition, self._presence, self._frequency):
                values.clear(slot)

    def apply(self, candidates: Candidates) -> Candidates:
        """Penalize the rows that have a history."""
        slots, slot_ids, logits = candidates.slots, candidates.slot_ids, candidates.logits
        rows = self._rows.take(slots, slot_ids).squeeze(1)
        seen, counts = self._seen[rows], self._counts[rows]
        if candidates.ids is not None:
            seen, counts = seen.gather(1, candidates.ids), counts.gather(1, candidates.ids)
        repetition = self._repetition.take(slots, slot_ids)
        logits = torch.where(seen, torch.where(logits > 0, logits / repetition, logits * repetition), logits)
        presence, frequency = self._presence.take(slots, slot_ids), self._frequency.take(slots, slot_ids)
        return replace(candidates, logits=logits - presence * (counts > 0) - frequency * counts)

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Add the drawn tokens to their histories."""
        (rows,) = transfer(self._device, np.array([self._row_of[slot] for slot in slot_ids], dtype=np.int64))
        self._seen[rows, tokens] = True
        self._counts[rows, tokens] += 1

    def _take_row(self) -> int:
        if self._free:
            row = self._free.pop()
            self._seen[row], self._counts[row] = False, 0.0
            return row
        # By half as many again: a copy for each new history would be one for each sequence.
        more = max(1, len(self._seen) // 2)
        row = len(self._seen)
        self._seen = torch.cat((self._seen, self._seen.new_zeros(more, self._seen.shape[1])))
        self._counts = torch.cat((self._counts, self._counts.new_zeros(more, self._counts.shape[1])))
        self._free += range(row + 1, row + more)
        return row
