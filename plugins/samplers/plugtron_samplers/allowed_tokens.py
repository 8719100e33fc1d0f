"""Only some ids may be drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from plugtron import Options
from plugtron.contracts import Candidates, Parts, RowOp, RowStage, Sampler
from plugtron.request import InferenceRequest, InferenceSequence
from plugtron_samplers.id_lists import owners
from plugtron_samplers.params import AllowedTokensParams
from plugtron_samplers.vocabulary import check_ids

__all__ = ["AllowedTokens"]


class AllowedTokens(Sampler):
    """Masks what is not in `allowed_token_ids`."""

    params = AllowedTokensParams
    keeps_row_stage = True

    def __init__(self, vocab_size: int, device: torch.device) -> None:
        self._vocab_size = vocab_size
        self._device = device
        self._forbidden: dict[int, Tensor] = {}

    @classmethod
    def assemble(cls, parts: Parts, options: Options) -> AllowedTokens:
        """Build from a spec."""
        del options
        assert parts.wrapper is not None
        return cls(parts.wrapper.info.vocab_size, parts.runtime.device)

    def check(self, request: InferenceRequest) -> None:
        """Refuse ids outside the vocabulary."""
        check_ids("allowed_token_ids", request.params.allowed_token_ids or (), self._vocab_size)

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Keep on the device which ids are forbidden, [V]."""
        forbidden = torch.ones(self._vocab_size, dtype=torch.bool)
        forbidden[torch.tensor(sequence.request.params.allowed_token_ids, dtype=torch.int64)] = False
        self._forbidden[slot] = forbidden.to(self._device)

    def remove(self, slot: int) -> None:
        """Forget them."""
        self._forbidden.pop(slot, None)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """A bit for each id."""
        del slots
        forbidden = [self._forbidden.get(slot) for slot in slot_ids]
        bits = [np.packbits(~each.numpy(), bitorder="little") for each in forbidden if each is not None]
        flags = torch.from_numpy(np.stack(bits)) if bits else torch.zeros(1, 1, dtype=torch.uint8)
        return RowStage(op=RowOp.ALLOW, rows=owners(forbidden), flags=flags)

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask the others."""
        ids, logits = candidates.ids, candidates.logits.clone()
        for row, slot in enumerate(candidates.slot_ids):
            if slot in self._forbidden:
                forbidden = self._forbidden[slot]
                logits[row].masked_fill_(forbidden if ids is None else forbidden[ids[row]], float("-inf"))
        return replace(candidates, logits=logits)
