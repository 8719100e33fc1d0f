"""The search itself, without the model: which continuations go on, and which answers are the best so far."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

__all__ = ["Answer", "Beam", "BeamSearch"]

_ZERO = np.float32(0)


@dataclass(frozen=True, slots=True)
class Beam:
    """An answer in the making: its tokens, their log probabilities, and the sum of those in float32."""

    tokens: tuple[int, ...] = ()
    values: tuple[float, ...] = ()
    total: np.float32 = _ZERO


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that has ended, and its score: the sum divided by length ** length_penalty."""

    beam: Beam
    score: float


class BeamSearch:
    """Keeps `width` answers in the making, as transformers' `generate(num_beams=width)` does.

    An answer ends at one of `ends`, or with `most` tokens. Of the continuations of all beams, those that end and are
    among the `width` best join the answers, of which the `width` best are kept; the others' `width` best go on.

    Args:
        early_stopping: True: done with `width` answers. False: done when no beam beats the worst of them at its present
            length. "never": at any length, if length_penalty favors long answers.
    """

    def __init__(
        self,
        width: int,
        most: int,
        ends: Collection[int],
        *,
        length_penalty: float = 1.0,
        early_stopping: bool | Literal["never"] = False,
    ) -> None:
        self.running = [Beam()]
        self.answers: list[Answer] = []
        self.done = False
        #: How many of the most likely tokens of each beam are to be looked at: enough to go on if many end.
        self.candidates = max(2, 1 + len(ends)) * width
        self._width = width
        self._most = most
        self._ends = frozenset(ends)
        self._length_penalty = length_penalty
        self._early_stopping = early_stopping

    def advance(self, ids: Sequence[Sequence[int]], values: Sequence[Sequence[float]]) -> list[int]:
        """Take a step.

        Args:
            ids, values: the most likely tokens after each beam, and their log probabilities.

        Returns:
            For each beam that goes on, which one it continues.
        """
        found = self._best(ids, values)
        length = len(self.running[0].tokens) + 1
        ended = [length >= self._most or beam.tokens[-1] in self._ends for _, beam in found]
        if not (self._early_stopping is True and self._full):
            for (_, beam), over in zip(found[: self._width], ended, strict=False):
                if over:
                    self.answers.append(Answer(beam, float(beam.total) / length**self._length_penalty))
            self.answers = sorted(self.answers, key=lambda answer: -answer.score)[: self._width]
        going = [each for each, over in zip(found, ended, strict=True) if not over][: self._width]
        self.running = [beam for _, beam in going]
        self.done = not going or (self._full and (self._early_stopping is True or not self._can_improve(length)))
        return [parent for parent, _ in going]

    @property
    def _full(self) -> bool:
        return len(self.answers) == self._width

    def _best(self, ids: Sequence[Sequence[int]], values: Sequence[Sequence[float]]) -> list[tuple[int, Beam]]:
        """The best continuations of all beams, and which beam each continues."""
        every = [
            (-(beam.total + np.float32(value)), parent, at)
            for parent, (beam, row) in enumerate(zip(self.running, values, strict=True))
            for at, value in enumerate(row)
        ]
        found = []
        for cost, parent, at in sorted(every)[: self.candidates]:
            beam = self.running[parent]
            tokens, own = (*beam.tokens, ids[parent][at]), (*beam.values, values[parent][at])
            found.append((parent, Beam(tokens, own, np.float32(-cost))))
        return found

    def _can_improve(self, length: int) -> bool:
        """Whether the best beam may still come to a better score than the worst answer has."""
        if self._early_stopping == "never" and self._length_penalty > 0:
            length = self._most
        return float(self.running[0].total) / length**self._length_penalty > self.answers[-1].score
