"""The end of a chain and the draw in one pass of native kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from plugtron.contracts import Candidates, Sampler
from plugtron_controllers.checked import SamplerFailed

if TYPE_CHECKING:
    from plugtron.kernels import ChainKernels, PreparedStage

__all__ = ["FusedDraw"]


class FusedDraw:
    """Finds how many stages at the end of a chain are operations that the kernels know, and runs them with the draw.

    What stays the same while the slots of a step do is asked once.

    Args:
        seeds: [slots] int64, what each slot's noise is keyed by.
        greedy: [slots] bool, the slots that take the most likely.
    """

    def __init__(self, kernels: ChainKernels, seeds: Tensor, greedy: Tensor) -> None:
        self._kernels = kernels
        self._seeds = seeds
        self._greedy = greedy
        self._slot_ids: tuple[int, ...] = ()
        self._known: dict[Sampler, PreparedStage] = {}
        self._own = seeds[:0], greedy[:0]

    def forget(self) -> None:
        """Ask anew: a sequence has come, or gone."""
        self._slot_ids, self._known = (), {}

    def tail(self, stages: Sequence[Sampler], candidates: Candidates) -> list[PreparedStage]:
        """The stages at the end that the kernels can do.

        Raises:
            SamplerFailed: a stage raised, or said what is no operation.
        """
        if candidates.slot_ids != self._slot_ids:
            self._slot_ids, self._known = candidates.slot_ids, {}
            self._own = self._seeds[candidates.slots], self._greedy[candidates.slots]
        found: list[PreparedStage] = []
        for sampler in reversed(stages):
            known = self._known.get(sampler)
            if known is None:
                known = self._ask(sampler, candidates)
                if known is None:
                    break
                if sampler.keeps_row_stage:
                    self._known[sampler] = known
            found.append(known)
        return found[::-1]

    def _ask(self, sampler: Sampler, candidates: Candidates) -> PreparedStage | None:
        try:
            stage = sampler.row_stage(candidates.slots, candidates.slot_ids)
            if stage is None:
                return None
            return self._kernels.prepare(stage, *candidates.logits.shape)
        except Exception as error:
            raise SamplerFailed(sampler, error) from error

    def draw(self, tail: Sequence[PreparedStage], candidates: Candidates, *, keep: bool) -> tuple[Tensor, Candidates]:
        """Run those, and draw.

        Returns:
            tokens [N], and the candidates that the draw saw where they are to be kept; otherwise those given.
        """
        seeds, greedy = self._own
        left = torch.empty(candidates.logits.shape) if keep else None
        tokens = self._kernels.run(candidates.logits, tail, seeds, candidates.positions, greedy, left)
        return tokens, candidates if left is None else replace(candidates, logits=left)
