"""What the CPU benchmark asks of each side."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

__all__ = ["TASKS", "Task"]

Seconds = Callable[[list[list[int]], list[int]], float]


def prompt(length: int) -> list[int]:
    """Fresh random ids, so that no cache can help."""
    return [random.randrange(100, 40_000) for _ in range(length)]


@dataclass(frozen=True)
class Task:
    """`rate` gives tokens a second, by a function that answers prompts and says how long it took.

    `reads_weights`: a step reads every weight once and does little else, so that memory sets a limit. `most`: how often
    it is repeated at the most.
    """

    meaning: str
    rate: Callable[[Seconds], float]
    reads_weights: bool = False
    most: int = 5
    #: Prompts of unequal lengths: for sides alone that have rows join and leave a batch.
    ragged: bool = False


def _decode(seconds: Seconds, history: int, tokens: int) -> float:
    """A long answer less one of a single token, so that the prompt drops out."""
    first = seconds([prompt(history)], [1])
    return tokens / (seconds([prompt(history)], [tokens + 1]) - first)


def _prefill(seconds: Seconds, length: int) -> float:
    return length / seconds([prompt(length)], [1])


def _batch(seconds: Seconds, rows: int, length: int, tokens: int) -> float:
    return rows * tokens / seconds([prompt(length) for _ in range(rows)], [tokens] * rows)


def _ragged(seconds: Seconds) -> float:
    shape = random.Random(1234)
    prompts = [shape.randint(16, 512) for _ in range(64)]
    lengths = [shape.randint(8, 256) for _ in range(64)]
    return sum(lengths) / seconds([prompt(length) for length in prompts], lengths)


TASKS = {
    "decode": Task("batch-1 decode", lambda seconds: _decode(seconds, 32, 128), reads_weights=True),
    "deep": Task("decode after 1024 tokens", lambda seconds: _decode(seconds, 1024, 256), most=3),
    "prefill-512": Task("prefill 512", lambda seconds: _prefill(seconds, 512)),
    "prefill-1024": Task("prefill 1024", lambda seconds: _prefill(seconds, 1024), most=3),
    "sixteen": Task("16 x (128 + 64), output", lambda seconds: _batch(seconds, 16, 128, 64), most=3),
    "ragged": Task("64 ragged requests, 16 rows, output", _ragged, most=1, ragged=True),
}
