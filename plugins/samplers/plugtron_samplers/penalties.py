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
from plugtron_samplers.slot_rows import SlotRows, grown
from plugtron_samplers.slot_values import SlotValues

__all__ = ["Penalties"]


class Penalties(Sampler):
    """Repetition (arXiv:1909.05858): logits of ids in prompt or answer are divided by it if positive, else multiplied.

    Presence and frequency (OpenAI's): subtracted once, and once per occurrence, for ids in the answer.

    Histories are rows of two tables, [rows, V]: which ids were in prompt or answer, and how often in the answer.
    """

    params = PenaltiesParams

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._device = device
        self._seen = torch.zeros(1, vocab_size, dtype=torch.bool, device=device)
        self._counts = torch.zeros(1, vocab_size, device=device)
        self._rows = SlotRows(device)
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
        params, row = sequence.request.params, self._rows.add(slot)
        self._seen, self._counts = grown(self._seen, self._rows.count), grown(self._counts, self._rows.count)
        self._seen[row], self._counts[row] = False, 0.0
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
        self._rows.remove(slot)
        for values in (self._repetition, self._presence, self._frequency):
            values.clear(slot)

    def apply(self, candidates: Candidates) -> Candidates:
        """Penalize the rows that have a history."""
        slots, slot_ids, logits = candidates.slots, candidates.slot_ids, candidates.logits
        rows = self._rows.take(slots, slot_ids)
        seen, counts = self._seen[rows], self._counts[rows]
        if candidates.ids is not None:
            seen, counts = seen.gather(1, candidates.ids), counts.gather(1, candidates.ids)
        repetition = self._repetition.take(slots, slot_ids)
        logits = torch.where(seen, torch.where(logits > 0, logits / repetition, logits * repetition), logits)
        presence, frequency = self._presence.take(slots, slot_ids), self._frequency.take(slots, slot_ids)
        return replace(candidates, logits=logits - presence * (counts > 0) - frequency * counts)

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Add the drawn tokens to their histories."""
        rows = self._rows.of(slot_ids)
        self._seen[rows, tokens] = True
        self._counts[rows, tokens] += 1
