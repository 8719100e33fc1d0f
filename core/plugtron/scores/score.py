"""What a continuation has scored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from plugtron.request.request import LogProbs

__all__ = ["Score"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How likely a continuation is after its prompt.

    Args:
        tokens: the continuation's ids.
        log_probs: of each of them, with the most likely id at its place.
        error: why there is no score; None: there is one.
    """

    tokens: tuple[int, ...]
    log_probs: tuple[LogProbs, ...] = ()
    error: str | None = None

    @property
    def log_prob(self) -> float:
        """The natural-log probability of the whole continuation; NaN where there is no score."""
        return float("nan") if self.error else sum(entry.value for entry in self.log_probs)

    @property
    def is_greedy(self) -> bool:
        """Whether greedy decoding would have produced it: each token is the most likely one."""
        return not self.error and all(next(iter(entry.top), None) == entry.token for entry in self.log_probs)

    def to_dict(self) -> dict[str, Any]:
        """As data for JSON."""
        return {
            "log_prob": None if self.error else self.log_prob,
            "is_greedy": self.is_greedy,
            "tokens": self.tokens,
            "logprobs": [entry.to_dict() for entry in self.log_probs],
            "error": self.error,
        }
