"""What the CPU benchmark asks of each side."""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from plugtron import LLM

__all__ = ["TASKS", "Task", "texts"]

Seconds = Callable[[list[list[int]], list[int]], float]
#: How much of each text is followed.
_PLACES = 800


def prompt(length: int) -> list[int]:
    """Fresh random ids, so that no cache can help."""
    return [random.randrange(100, 40_000) for _ in range(length)]


@dataclass(frozen=True)
class Task:
    """`rate` gives tokens a second, by a function that answers prompts and says how long it took."""

    meaning: str
    rate: Callable[[Seconds], float]


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
    "decode": Task("batch-1 decode", lambda seconds: _decode(seconds, 32, 128)),
    "deep": Task("decode after 1024 tokens", lambda seconds: _decode(seconds, 1024, 64)),
    "prefill-512": Task("prefill 512", lambda seconds: _prefill(seconds, 512)),
    "prefill-1024": Task("prefill 1024", lambda seconds: _prefill(seconds, 1024)),
    "sixteen": Task("16 x (128 + 64), output", lambda seconds: _batch(seconds, 16, 128, 64)),
    "ragged": Task("64 ragged requests, 16 rows, output", _ragged),
}


def texts(model: str) -> dict[str, list[int]]:
    """Ids of our licence and of a page of Python."""
    with LLM(model) as llm:
        tokenizer = llm.assembly.parts.tokenizer
        assert tokenizer is not None
        sources = {"LICENSE": Path(__file__).parents[1] / "LICENSE", "argparse.py": Path(argparse.__file__)}
        return {name: tokenizer.encode(path.read_text())[:_PLACES] for name, path in sources.items()}
