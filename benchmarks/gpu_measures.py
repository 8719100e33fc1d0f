"""What is measured of every side of the GPU benchmark, whatever runs it."""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from gpu_cases import Sizes

__all__ = ["Measure", "Run", "Timer", "measures", "synchronize"]

#: Answers prompts of ids, with so many tokens each.
Run = Callable[[list[list[int]], int], object]
#: A part of a side's record.
Measure = Callable[[], Mapping[str, object]]


def synchronize() -> None:
    """Wait for the device."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


@dataclass(frozen=True, kw_only=True)
class Timer:
    """Times a side with fresh prompts, so that no cache helps.

    `warm`: how many tokens are answered first, of so many rows and tokens, for what is compiled or captured.
    """

    run: Run
    vocabulary: int
    warm: Callable[[int, int], int]

    def seconds(self, rows: int, length: int, tokens: int, repetitions: int = 1) -> float:
        """The median time of a few runs."""
        self._once(rows, length, min(tokens, self.warm(rows, tokens)))
        return statistics.median(self._once(rows, length, tokens) for _ in range(repetitions))

    def _once(self, rows: int, length: int, tokens: int) -> float:
        prompts = [[random.randrange(self.vocabulary) for _ in range(length)] for _ in range(rows)]
        synchronize()
        begin = time.perf_counter()
        self.run(prompts, tokens)
        synchronize()
        return time.perf_counter() - begin


def measures(timer: Timer, sizes: Sizes) -> Iterator[tuple[str, Measure]]:
    """One row after a context, a prompt alone, and whole batches. Tokens a second."""

    def decode() -> dict[str, object]:
        """The time of a whole answer less that of its first token."""
        first = timer.seconds(1, sizes.context, 1, sizes.repetitions)
        whole = timer.seconds(1, sizes.context, sizes.tokens + 1, sizes.repetitions)
        return {"first_token_seconds": first, "decode": sizes.tokens / (whole - first)}

    def prefill() -> dict[str, object]:
        return {"prefill": sizes.prefill / timer.seconds(1, sizes.prefill, 1, sizes.repetitions)}

    def batch(rows: int) -> Measure:
        def answer() -> dict[str, object]:
            seconds = timer.seconds(rows, sizes.prompt, sizes.tokens)
            return {"rows": {str(rows): rows * sizes.tokens / seconds}}

        return answer

    yield "decode", decode
    yield "prefill", prefill
    for rows in sizes.rows:
        yield f"{rows} rows", batch(rows)
