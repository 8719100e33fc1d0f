"""A bias on the logits of some ids."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler
from plugtron.request import InferenceRequest, InferenceSequence
from plugtron_samplers.id_lists import id_table, owners
from plugtron_samplers.params import LogitBiasParams
from plugtron_samplers.vocabulary import check_ids

__all__ = ["LogitBias"]


class LogitBias(Sampler):
    """Adds `logit_bias` to the logits of the ids it names."""

    params = LogitBiasParams
    keeps_row_stage = True

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._vocab_size = vocab_size
        self._device = device
        self._biases: dict[int, tuple[Tensor, Tensor]] = {}

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> LogitBias:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.wrapper.info.vocab_size, parts.runtime.device)

    def check(self, request: InferenceRequest) -> None:
        """Refuse ids outside the vocabulary."""
        check_ids("logit_bias", request.params.logit_bias or (), self._vocab_size)

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Keep the ids and their biases on the device."""
        biases = sequence.request.params.logit_bias or {}
        ids = torch.tensor(list(biases), dtype=torch.int64, device=self._device)
        self._biases[slot] = ids, torch.tensor(list(biases.values()), device=self._device)

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._biases.pop(slot, None)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """Sums at the ids."""
        del slots
        given = [self._biases.get(slot) for slot in slot_ids]
        there = [each for each in given if each is not None]
        return RowStage(
            op=RowOp.ADD,
            rows=owners(given),
            ids=id_table([ids for ids, _ in there]),
            values=id_table([biases for _, biases in there]),
        )

    def apply(self, candidates: Candidates) -> Candidates:
        """Add the biases of the rows that have some."""
        logits = candidates.logits.clone()
        for row, slot in enumerate(candidates.slot_ids):
            if slot in self._biases:
                ids, biases = self._biases[slot]
                if candidates.ids is None:
                    logits[row].index_add_(0, ids, biases)
                else:
                    named = candidates.ids[row].unsqueeze(1) == ids
                    logits[row] += torch.where(named, biases, 0.0).sum(dim=1)
        return replace(candidates, logits=logits)
