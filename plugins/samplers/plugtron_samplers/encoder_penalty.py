"""A penalty on what is not in the prompt, as transformers' encoder_repetition_penalty."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, Sampler
from plugtron.request import InferenceSequence, SamplingParams
from plugtron_samplers.repetition_params import EncoderPenaltyParams
from plugtron_samplers.unset import in_force

__all__ = ["EncoderPenalty"]


class EncoderPenalty(Sampler):
    """Multiplies the logits of the prompt's ids by the penalty if positive, else divides them."""

    params = EncoderPenaltyParams

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._prompts: dict[int, tuple[Tensor, float]] = {}

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> EncoderPenalty:
        """Build from a spec."""
        del options
        return cls(parts.runtime.device)

    def uses(self, params: SamplingParams) -> bool:
        """1 changes nothing."""
        return bool(in_force(self.asked(params), "encoder_repetition_penalty") != 1)

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Keep the ids of the prompt on the device."""
        penalty = float(in_force(self.asked(sequence.request.params), "encoder_repetition_penalty"))
        ids = torch.tensor(sorted(set(sequence.request.prompt_tokens)), dtype=torch.int64, device=self._device)
        self._prompts[slot] = ids, penalty

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._prompts.pop(slot, None)

    def apply(self, candidates: Candidates) -> Candidates:
        """Change the logits of the rows that have a penalty."""
        logits = candidates.logits.clone()
        for row, slot in enumerate(candidates.slot_ids):
            if slot not in self._prompts:
                continue
            ids, penalty = self._prompts[slot]
            columns = ids if candidates.ids is None else torch.isin(candidates.ids[row], ids).nonzero().squeeze(1)
            given = logits[row, columns]
            logits[row, columns] = torch.where(given > 0, given * penalty, given / penalty)
        return replace(candidates, logits=logits)
