"""Checking ids that a request names."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["check_ids"]


def check_ids(name: str, ids: Iterable[int], vocab_size: int) -> None:
    """Refuse ids outside the vocabulary.

    Raises:
        ValueError: naming the parameter and the first such id.
    """
    for token in ids:
        if not 0 <= token < vocab_size:
            raise ValueError(f"{name}: {token} is no token of this model (accepted: 0 to {vocab_size - 1})")
