"""Locally typical sampling (arXiv:2202.00666)."""

from __future__ import annotations

from dataclasses import replace

import torch

from acme_samplers.params import TypicalPParams
from plugtron import Options
from plugtron.contracts import Candidates, Parts, Sampler
from plugtron.request import InferenceSequence, SamplingParams

__all__ = ["TypicalP"]

#: Above any sum of probabilities, so that rounding drops nothing from a row that does not use this stage.
_ALL = 2.0


class TypicalP(Sampler):
    """Keeps the candidates whose surprise is nearest to the entropy, until they have probability `acme_typical_p`."""

    params = TypicalPParams

    def __init__(self, device: torch.device) -> None:
        # One number for each slot, on the device: a step looks its rows up there, and waits for nothing.
        self._wanted = torch.full((1,), _ALL, device=device)

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> TypicalP:
        """Build from a spec."""
        del options
        return cls(parts.runtime.device)

    def uses(self, params: SamplingParams) -> bool:
        """1 keeps all."""
        return self.asked(params) not in (TypicalPParams(), TypicalPParams(acme_typical_p=1.0))

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Remember the probability of a slot."""
        self._make_room(slot)
        self._wanted[slot] = sequence.request.params.extra["acme_typical_p"]

    def remove(self, slot: int) -> None:
        """Forget it."""
        self._wanted[slot] = _ALL

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask what is less typical. One candidate always stays."""
        self._make_room(max(candidates.slot_ids, default=0))
        wanted = self._wanted[candidates.slots].unsqueeze(1)
        log_probs = candidates.logits.log_softmax(dim=1)
        probabilities = log_probs.exp()
        masked = candidates.logits == float("-inf")
        entropy = -(probabilities * log_probs.masked_fill(masked, 0.0)).sum(dim=1, keepdim=True)
        # Masked candidates are infinitely far away, and therefore last. A stable order makes equal ones no lottery.
        places = (-log_probs - entropy).abs().argsort(dim=1, stable=True)
        ordered = probabilities.gather(1, places)
        before = ordered.cumsum(dim=1) - ordered
        beyond = (before >= wanted) & (before > 0)
        drop = torch.empty_like(beyond).scatter_(1, places, beyond)
        return replace(candidates, logits=candidates.logits.masked_fill(drop, float("-inf")))

    def _make_room(self, slot: int) -> None:
        missing = slot + 1 - len(self._wanted)
        if missing > 0:
            self._wanted = torch.cat((self._wanted, self._wanted.new_full((missing,), _ALL)))
