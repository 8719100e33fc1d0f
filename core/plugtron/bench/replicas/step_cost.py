"""What a step costs: a + b · rows + c · prompt tokens, given as numbers or fitted to steps that were measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import NamedTuple, Self

import numpy as np

__all__ = ["StepCost", "StepTiming"]


class StepTiming(NamedTuple):
    """A step: how many rows drew a token, how many tokens of prompts it computed, and how long it took."""

    rows: int
    prompt_tokens: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCost:
    """Seconds of a step, of each row that draws, and of each token of a prompt. How long contexts are is left out."""

    step: float
    row: float
    prompt_token: float

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read three numbers with commas between them.

        Raises:
            ValueError: they are not three numbers from 0 up.
        """
        try:
            numbers = [float(part) for part in text.split(",")]
        except ValueError:
            numbers = []
        if len(numbers) != 3 or not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ValueError(f"{text!r} is not three numbers of seconds from 0 up, such as 0.005,0.0004,0.0001")
        return cls(step=numbers[0], row=numbers[1], prompt_token=numbers[2])

    @classmethod
    def fit(cls, timings: Sequence[StepTiming]) -> Self:
        """Fit the three to steps by least squares of relative errors; none of them below 0."""
        seconds = np.array([timing.seconds for timing in timings])
        columns = np.array([(1, timing.rows, timing.prompt_tokens) for timing in timings]) / seconds[:, None]
        kept, found = [0, 1, 2], np.zeros(3)
        while kept:
            part = np.linalg.lstsq(columns[:, kept], np.ones(len(timings)), rcond=None)[0]
            if part.min() >= 0:
                found[kept] = part
                break
            kept.pop(int(part.argmin()))
        return cls(step=float(found[0]), row=float(found[1]), prompt_token=float(found[2]))

    def seconds(self, rows: int, prompt_tokens: int) -> float:
        """What a step takes."""
        return self.step + self.row * rows + self.prompt_token * prompt_tokens

    def error(self, timings: Sequence[StepTiming]) -> float:
        """By what share of its time a step is off, in the middle of all steps."""
        return median(abs(self.seconds(timing.rows, timing.prompt_tokens) / timing.seconds - 1) for timing in timings)

    def __str__(self) -> str:
        return (
            f"{1000 * self.step:.3g} ms a step, {1000 * self.row:.3g} ms a row, "
            f"{1000 * self.prompt_token:.3g} ms a prompt token"
        )
