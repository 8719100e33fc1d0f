"""Penalties on tokens that have been there before."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, Sampler
from plugtron.request import InferenceSequence
from plugtron_samplers.params import PenaltiesParams

__all__ = ["Penalties"]


@dataclass(frozen=True, slots=True, kw_only=True)
class _History:
    """What a sequence has had: which ids in prompt or answer [V] bool, and how often in the answer [V] float32."""

    seen: Tensor
    counts: Tensor
    repetition: float
    presence: float
    frequency: float


class Penalties(Sampler):
    """Repetition (arXiv:1909.05858): logits of ids in prompt or answer are divided by it if positive, else multiplied.

    Presence and frequency (OpenAI's): subtracted once, and once per occurrence, for ids in the answer.
    """

    params = PenaltiesParams

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._vocab_size = vocab_size
        self._device = device
        self._histories: dict[int, _History] = {}

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> Penalties:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.wrapper.info.vocab_size, parts.runtime.device)

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Begin a history with the prompt, and with what had been generated before the slot was given."""
        params = sequence.request.params
        seen = torch.zeros(self._vocab_size, dtype=torch.bool, device=self._device)
        seen[torch.tensor(sequence.request.prompt_tokens, device=self._device)] = True
        history = _History(
            seen=seen,
            counts=torch.zeros(self._vocab_size, device=self._device),
            repetition=1.0 if params.repetition_penalty is None else params.repetition_penalty,
            presence=params.presence_penalty or 0.0,
            frequency=params.frequency_penalty or 0.0,
        )
        self._histories[slot] = history
        for token in sequence.tokens:
            history.seen[token] = True
            history.counts[token] += 1

    def remove(self, slot: int) -> None:
        """Forget it."""
        self._histories.pop(slot, None)

    def apply(self, candidates: Candidates) -> Candidates:
        """Penalise the rows that have a history."""
        logits = candidates.logits.clone()
        for row, slot in enumerate(candidates.slot_ids):
            if slot in self._histories:
                ids = None if candidates.ids is None else candidates.ids[row]
                logits[row] = _penalise(logits[row], self._histories[slot], ids)
        return replace(candidates, logits=logits)

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Add the drawn tokens to their histories."""
        for row, slot in enumerate(slot_ids):
            history = self._histories[slot]
            token = tokens[row : row + 1]  # as a number torch would ask the device for it, and wait
            history.seen[token] = True
            history.counts[token] += 1


def _penalise(logits: Tensor, history: _History, ids: Tensor | None) -> Tensor:
    """One row, [C]."""
    seen, counts = history.seen, history.counts
    if ids is not None:
        seen, counts = seen[ids], counts[ids]
    repeated = torch.where(logits > 0, logits / history.repetition, logits * history.repetition)
    logits = torch.where(seen, repeated, logits)
    return logits - history.presence * (counts > 0) - history.frequency * counts
