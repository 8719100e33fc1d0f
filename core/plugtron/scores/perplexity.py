"""How well a model predicts whole texts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from plugtron.assembly.session import Session
from plugtron.scores.continuations import score_continuations

__all__ = ["Perplexity", "score_texts"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Perplexity:
    """The natural-log probability of a text, over so many tokens: all but the first, which follows nothing."""

    log_prob: float
    tokens: int
    error: str | None = None

    @property
    def value(self) -> float:
        """e to the mean negative log probability; NaN where there is none."""
        return float("nan") if self.error or not self.tokens else math.exp(-self.log_prob / self.tokens)

    def to_dict(self) -> dict[str, Any]:
        """As data for JSON."""
        known = self.error is None
        return {
            "perplexity": self.value if known else None,
            "log_prob": self.log_prob if known else None,
            "tokens": self.tokens,
            "error": self.error,
        }


def score_texts(session: Session, texts: Sequence[Sequence[int]], window: int | None = None) -> list[Perplexity]:
    """Return the perplexity of each text, given as ids.

    Args:
        window: tokens that are computed together; a longer text is divided into as many as it takes, each of which sees
            one token of the one before. By default as many as the engine's sequences may have.
    """
    most = session.engine.max_sequence_length
    size = window or most or max((len(text) for text in texts), default=1)
    if most is not None:
        size = min(size, most)
    pieces: list[tuple[int, tuple[Sequence[int], Sequence[int]]]] = []
    for number, text in enumerate(texts):
        for start in range(0, max(len(text) - 1, 1), max(size - 1, 1)):
            pieces.append((number, (text[start : start + 1], text[start + 1 : start + size])))
    scores = score_continuations(session, [pair for _, pair in pieces])
    found = [Perplexity(log_prob=0.0, tokens=0) for _ in texts]
    for (number, pair), score in zip(pieces, scores, strict=True):
        so_far = found[number]
        error = score.error if all(pair) else "a text of fewer than two tokens has no perplexity"
        found[number] = Perplexity(
            log_prob=so_far.log_prob + score.log_prob,
            tokens=so_far.tokens + len(score.log_probs),
            error=so_far.error or error,
        )
    return found
