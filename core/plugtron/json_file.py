"""JSON files that hold one mapping, as model folders are full of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from plugtron.errors import PlugtronError

__all__ = ["read_mapping"]


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
