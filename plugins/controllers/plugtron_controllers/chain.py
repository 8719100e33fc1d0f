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
            seen = {slot: (left, row) for row, slot in enumerate(candidates.rows)}
            return tokens, seen, self._accept(candidates.rows, tokens, live)
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
        drawn = tuple(slot for slot in candidates.rows if slot not in failures)
        kept = [row for row, slot in enumerate(candidates.rows) if slot not in failures]
        accepted = tokens[kept]
        failures |= self._accept(drawn, accepted, live)
        tokens[kept] = accepted
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
        return draw(left), left

    def _accept(self, rows: tuple[int, ...], tokens: Tensor, live: Mapping[int, LiveSequence]) -> dict[int, str]:
        """Tell the stages what was drawn, each row once and on its own; mark the rows for which one raises."""
        failures: dict[int, str] = {}
        for sampler in self.samplers:
            if type(sampler).accept is Sampler.accept:
                continue  # it has nothing to learn
            for row, slot in enumerate(rows):
                if sampler in live[slot].stages and slot not in failures:
                    try:
                        sampler.accept((slot,), tokens[row : row + 1].clamp(min=0))
                    except Exception as error:
                        failures[slot] = f"a sampler failed: {type(error).__name__}: {error}"
                        tokens[row] = -1
        return failures


def _one_row(candidates: Candidates, row: int) -> Candidates:
    only = slice(row, row + 1)
    return Candidates(
        logits=candidates.logits[only],
        ids=None if candidates.ids is None else candidates.ids[only],
        slots=candidates.slots[only],
        positions=candidates.positions[only],
        rows=candidates.rows[only],
    )
