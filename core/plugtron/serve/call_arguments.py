"""Arguments of earlier calls in a conversation."""

from __future__ import annotations

import json
from typing import Any

__all__ = ["read_arguments"]


def read_arguments(text: str) -> Any:
    """The value of arguments that a client sends as a text of JSON; any other text as it is: a template may use it."""
    try:
        return json.loads(text or "{}")
    except (ValueError, RecursionError):
        return text
