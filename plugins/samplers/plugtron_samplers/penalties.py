"""Penalties on tokens that have been there before."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler
from plugtron.request import InferenceSequence
from plugtron.utils import transfer
from plugtron_samplers.params import PenaltiesParams
from plugtron_samplers.slot_rows import grown
from plugtron_samplers.slot_values import SlotValues, numbers_of
from plugtron_samplers.token_history import TokenHistory

__all__ = ["Penalties"]


class Penalties(Sampler):
    """Repetition (arXiv:1909.05858): logits of ids in prompt or answer are divided by it if positive, else multiplied.

    Presence and frequency (OpenAI's): subtracted once, and once per occurrence, for ids in the answer.

    Only ids that were there are looked at; how often each was in the answer is a row of a table [rows, V].
    """

    params = PenaltiesParams

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._device = device
        self._history = TokenHistory(device)
        self._counts = torch.zeros(1, vocab_size, device=device)
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
        params, row = sequence.request.params, self._history.add(slot, sequence.all_tokens)
        self._counts = grown(self._counts, self._history.rows.count)
        self._counts[row] = 0.0
        self._repetition.set(slot, 1.0 if params.repetition_penalty is None else params.repetition_penalty)
        self._presence.set(slot, params.presence_penalty or 0.0)
        self._frequency.set(slot, params.frequency_penalty or 0.0)
        (answer,) = transfer(self._device, np.array(sequence.tokens, dtype=np.int64))
        self._counts[row].index_add_(0, answer, torch.ones_like(answer, dtype=torch.float32))

    def remove(self, slot: int) -> None:
        """Forget it."""
        self._history.remove(slot)
        for values in (self._repetition, self._presence, self._frequency):
            values.clear(slot)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """The three penalties of a history, and how often each id was in the answer."""
        return RowStage(
            op=RowOp.PENALIZE,
            numbers=numbers_of(slots, slot_ids, self._repetition, self._presence, self._frequency),
            rows=self._history.rows.owned(slots, slot_ids),
            ids=self._history.tokens,
            values=self._counts,
        )

    def apply(self, candidates: Candidates) -> Candidates:
        """Penalize the ids that were there."""
        slots, slot_ids, logits, ids = candidates.slots, candidates.slot_ids, candidates.logits, candidates.ids
        tokens, rows = self._history.take(slots, slot_ids), self._history.rows.take(slots, slot_ids).unsqueeze(1)
        if not tokens.shape[1]:
            return candidates
        # Behind its end a history is its first token again; what is written twice is the same.
        there = torch.where(tokens < 0, tokens[:, :1], tokens).clamp(min=0)
        if ids is None:
            changed = self._penalized(logits.gather(1, there), self._counts[rows, there], slots, slot_ids)
            return replace(candidates, logits=logits.scatter(1, there, changed))
        seen = torch.zeros(len(there), self._counts.shape[1], dtype=torch.bool, device=there.device)
        seen = seen.scatter_(1, there, True).gather(1, ids)
        changed = self._penalized(logits, self._counts[rows, ids], slots, slot_ids)
        return replace(candidates, logits=torch.where(seen, changed, logits))

    def _penalized(self, logits: Tensor, counts: Tensor, slots: Tensor, slot_ids: tuple[int, ...]) -> Tensor:
        """What logits of ids that were there become; the same where a slot has no penalties."""
        repetition = self._repetition.take(slots, slot_ids)
        logits = torch.where(logits > 0, logits / repetition, logits * repetition)
        presence, frequency = self._presence.take(slots, slot_ids), self._frequency.take(slots, slot_ids)
        return logits - presence * (counts > 0) - frequency * counts

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Add the drawn tokens to their histories."""
        self._counts[self._history.rows.of(slot_ids), tokens] += 1
        self._history.append(slot_ids, tokens)
