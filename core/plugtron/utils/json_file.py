"""JSON files that hold one mapping, as model folders are full of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plugtron.errors import PlugtronError

__all__ = ["DuplicateKey", "once", "read_mapping"]


class DuplicateKey(ValueError):
    """A key stands twice in one mapping; a reader would take the last, and hide a mistake."""

    def __init__(self, key: str) -> None:
        super().__init__(f"key {key!r} stands twice in one mapping")
        self.key = key


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Build a mapping, as json.loads's `object_pairs_hook`.

    Raises:
        DuplicateKey: a key stands twice.
    """
    values = dict(pairs)
    if len(values) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise DuplicateKey(key)
            seen.add(key)
    return values


def read_mapping(file: Path, error: type[PlugtronError]) -> dict[str, Any]:
    """Read a file.

    Raises:
        error: it is not JSON, or no mapping.
    """
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
    # Not UTF-8, not JSON, a number of thousands of digits, or nested without end.
    except (ValueError, RecursionError) as cause:
        raise error(f"{file} is not JSON: {cause}") from None
    if not isinstance(values, dict):
        raise error(f"{file} does not hold a mapping")
    return values
