"""Arguments of calls: of earlier ones in a conversation, and of those that a model has just written."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any

__all__ = ["read_arguments", "read_written"]


def read_arguments(text: str) -> Any:
    """The value of arguments that a client sends as a text of JSON; any other text as it is: a template may use it."""
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text


def read_written(text: str) -> Any:
    """The value of JSON that a model has written. A number that no float holds stays its text: JSON has no infinity.

    Raises:
        ValueError: it is no JSON.
    """
    return json.loads(text, parse_float=_finite)


def _finite(text: str) -> float | str:
    number = float(text)
    return number if isfinite(number) else text
