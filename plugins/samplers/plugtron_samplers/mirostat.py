"""Mirostat 2 (arXiv:2007.14966), as in llama.cpp."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from plugtron.contracts import Candidates, RowOp, RowStage
from plugtron.request import InferenceSequence, SamplingParams
from plugtron.utils import transfer
from plugtron_samplers.adaptive_params import MirostatParams
from plugtron_samplers.one_value import OneValue
from plugtron_samplers.slot_values import SlotValues, numbers_of
from plugtron_samplers.unset import in_force

__all__ = ["Mirostat"]


@dataclass(frozen=True, slots=True)
class _Offered:
    """What a draw could take: candidates as they left this stage, and which row is whose."""

    candidates: Candidates
    row_of: dict[int, int]


class Mirostat(OneValue):
    """Keeps what has at most a bound's surprise, in bits, and the most likely; the bound follows what is drawn.

    It begins at 2 `mirostat_tau`; a token of surprise s, among the candidates that were kept, moves it by
    -`mirostat_eta` (s - `mirostat_tau`). It is the last stage, because what came after it would change the surprise.
    """

    params = MirostatParams
    is_argmax_invariant = True
    neutral = 0.0
    row_op = RowOp.MIROSTAT
    keeps_row_stage = False  # the bound follows what is drawn

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self._device = device
        self._bounds = SlotValues(math.inf, device)
        self._rates = SlotValues(0.0, device)
        self._users: set[int] = set()
        self._offered: dict[int, _Offered] = {}
        # Where kernels have left the surprise of what they drew: a column, and the place in it.
        self._surprises: dict[int, tuple[Tensor, int]] = {}

    @classmethod
    def value_of(cls, params: SamplingParams) -> float:
        """The surprise to come to; 0 where nothing is held."""
        asked = cls.asked(params)
        return float(in_force(asked, "mirostat_tau")) if in_force(asked, "mirostat") else cls.neutral

    def add(self, slot: int, sequence: InferenceSequence) -> None:
        """Begin with the first bound. A sequence that is preempted keeps its slot, and with it the bound."""
        super().add(slot, sequence)
        self._users.add(slot)
        self._rates.set(slot, float(in_force(self.asked(sequence.request.params), "mirostat_eta")))
        self._bounds.set(slot, 2.0 * self.value_of(sequence.request.params))

    def remove(self, slot: int) -> None:
        """Forget it."""
        super().remove(slot)
        self._users.discard(slot)
        self._bounds.clear(slot)
        self._rates.clear(slot)
        self._offered.pop(slot, None)
        self._surprises.pop(slot, None)

    def row_stage(self, slots: Tensor, slot_ids: tuple[int, ...]) -> RowStage:
        """The bounds, and where the surprise of what is drawn will stand."""
        surprises = torch.full((len(slot_ids),), math.inf, device=self._device)
        self._surprises |= {slot: (surprises, row) for row, slot in enumerate(slot_ids) if slot in self._users}
        return RowStage(op=self.row_op, numbers=numbers_of(slots, slot_ids, self._bounds), result=surprises)

    def apply(self, candidates: Candidates) -> Candidates:
        """Mask what surprises too much, and remember what is offered to the draw."""
        logits = candidates.logits
        bounds = self._bounds.take(candidates.slots, candidates.slot_ids)
        drop = (logits.log_softmax(dim=1) < bounds * -math.log(2.0)) & (logits < logits.amax(dim=1, keepdim=True))
        left = replace(candidates, logits=logits.masked_fill(drop, float("-inf")))
        offered = _Offered(left, {slot: row for row, slot in enumerate(candidates.slot_ids)})
        self._offered |= {slot: offered for slot in candidates.slot_ids if slot in self._users}
        return left

    def accept(self, slot_ids: tuple[int, ...], tokens: Tensor) -> None:
        """Move the bounds."""
        places: dict[int, list[int]] = {}
        known = tuple([slot for slot in slot_ids if slot in self._surprises])
        if known:
            self._learn_surprises(known)
        for place, slot in enumerate(slot_ids):
            if slot in self._offered:
                places.setdefault(id(self._offered[slot]), []).append(place)
        for own in places.values():
            self._learn(self._offered[slot_ids[own[0]]], tuple(slot_ids[place] for place in own), own, tokens)
        for slot in slot_ids:
            self._offered.pop(slot, None)

    def _learn(self, offered: _Offered, slot_ids: tuple[int, ...], places: list[int], tokens: Tensor) -> None:
        """Move the bounds of slots that were offered candidates together."""
        rows, own, slots = transfer(
            self._device,
            np.array([offered.row_of[slot] for slot in slot_ids], dtype=np.int64),
            np.array(places, dtype=np.int64),
            np.array(slot_ids, dtype=np.int64),
        )
        self._move(slots, slot_ids, _surprise(offered.candidates, rows, tokens[own]))

    def _learn_surprises(self, slot_ids: tuple[int, ...]) -> None:
        """Move the bounds of slots that kernels drew for."""
        left = [self._surprises.pop(slot) for slot in slot_ids]
        (slots,) = transfer(self._device, np.array(slot_ids, dtype=np.int64))
        self._move(slots, slot_ids, torch.stack([surprises[row] for surprises, row in left]))

    def _move(self, slots: Tensor, slot_ids: tuple[int, ...], surprise: Tensor) -> None:
        """Move the bounds of slots by the surprise of what was drawn for them, [N]."""
        wanted = self._values.take(slots, slot_ids).squeeze(1)
        bounds, rates = self._bounds.take(slots, slot_ids).squeeze(1), self._rates.take(slots, slot_ids).squeeze(1)
        # A draw that failed, or one of what a later stage has put in, has no surprise here.
        error = torch.where(surprise.isfinite(), surprise - wanted, 0.0)
        self._bounds.put(slots, bounds - rates * error)


def _surprise(candidates: Candidates, rows: Tensor, tokens: Tensor) -> Tensor:
    """The surprise of tokens [N] in these rows of the candidates, in bits; infinite where they are none of them."""
    surprise = candidates.logits[rows].log_softmax(dim=1) / -math.log(2.0)
    if candidates.ids is None:
        return surprise.gather(1, tokens.unsqueeze(1)).squeeze(1)
    return surprise.masked_fill(candidates.ids[rows] != tokens.unsqueeze(1), math.inf).amin(dim=1)
