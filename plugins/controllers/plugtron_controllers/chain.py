"""Running the sampler chain over a step, and finding the row to blame when a stage fails."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from plugtron.contracts.sampler import Candidates, Sampler
from plugtron.sampling_params import SamplingParams
from plugtron_controllers.live import LiveSequence

__all__ = ["Chain"]

Draw = Callable[[Candidates], Tensor]


class Chain:
    """The stages in order. A stage that no row of a step uses is not run."""

    def __init__(self, samplers: Sequence[Sampler]) -> None:
        self.samplers = tuple(samplers)

    def stages_of(self, params: SamplingParams) -> frozenset[Sampler]:
        """The stages that a request needs; a greedy one does without those that keep its most likely token."""
        return frozenset(
            sampler
            for sampler in self.samplers
            if sampler.uses(params) and not (params.greedy and sampler.keeps_argmax)
        )

    def run(
        self, candidates: Candidates, live: Mapping[int, LiveSequence], draw: Draw
    ) -> tuple[Tensor, dict[int, tuple[Candidates, int]], dict[int, str]]:
        """Apply the stages and draw.

        Returns:
            tokens [N], -1 for a row that failed or has no candidate left; per slot the candidates that the draw saw,
            and its row in them; and why rows failed, by slot.
        """
        if any(live[slot].failure for slot in candidates.rows):
            return self._row_by_row(candidates, live, draw)
        try:
            tokens, left = self._attempt(candidates, live, draw)
            return tokens, {slot: (left, row) for row, slot in enumerate(candidates.rows)}, {}
        # A sampler is a plugin's code. Whatever it raises, only the rows that make it raise may fail.
        except Exception:
            return self._row_by_row(candidates, live, draw)

    def _row_by_row(
        self, candidates: Candidates, live: Mapping[int, LiveSequence], draw: Draw
    ) -> tuple[Tensor, dict[int, tuple[Candidates, int]], dict[int, str]]:
        tokens = torch.full((len(candidates.rows),), -1, dtype=torch.int64, device=candidates.logits.device)
        seen: dict[int, tuple[Candidates, int]] = {}
        failures: dict[int, str] = {}
        for row, slot in enumerate(candidates.rows):
            earlier = live[slot].failure
            if earlier is not None:
                failures[slot] = earlier
                continue
            try:
                token, left = self._attempt(_one_row(candidates, row), live, draw)
                tokens[row], seen[slot] = token[0], (left, 0)
            except Exception as error:
                failures[slot] = f"a sampler failed: {type(error).__name__}: {error}"
        return tokens, seen, failures

    def _attempt(
        self, candidates: Candidates, live: Mapping[int, LiveSequence], draw: Draw
    ) -> tuple[Tensor, Candidates]:
        using = {
            sampler: tuple(row for row, slot in enumerate(candidates.rows) if sampler in live[slot].stages)
            for sampler in self.samplers
        }
        left = candidates
        for sampler, rows in using.items():
            if rows:
                left = sampler.apply(left)
        tokens = draw(left)
        for sampler, rows in using.items():
            if rows:
                own = tokens if len(rows) == len(tokens) else tokens[list(rows)]
                sampler.accept(tuple(candidates.rows[row] for row in rows), own.clamp(min=0))
        return tokens, left


def _one_row(candidates: Candidates, row: int) -> Candidates:
    only = slice(row, row + 1)
    return Candidates(
        logits=candidates.logits[only],
        ids=None if candidates.ids is None else candidates.ids[only],
        slots=candidates.slots[only],
        positions=candidates.positions[only],
        rows=candidates.rows[only],
    )
