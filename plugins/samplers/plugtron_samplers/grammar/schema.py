"""What the llguidance library takes from a JSON Schema without keeping to it: refused here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["check_part"]

#: Whole numbers up to which floating point has each.
_MOST_EXACT = 2**53


def check_part(part: Any) -> None:
    """Refuse a mapping or number of a schema that answers would not be held to.

    Raises:
        ValueError: it is one.
    """
    if isinstance(part, int) and abs(part) > _MOST_EXACT:
        raise ValueError(f"{part} would be rounded (accepted: whole numbers up to 2**53)")
    if not isinstance(part, Mapping):
        return
    for exclusive, inclusive, *others in (
        ("exclusiveMinimum", "minimum", "maximum", "exclusiveMaximum"),
        ("exclusiveMaximum", "maximum", "minimum", "exclusiveMinimum"),
    ):
        bound = part.get(inclusive) if part.get(exclusive) is True else part.get(exclusive)
        near = [name for name in others if _is_number(part.get(name)) and 0 < abs(part[name]) < 1]
        if _is_number(bound) and bound == 0 and near:
            raise ValueError(f"{exclusive} 0 beside {near[0]} {part[near[0]]} is not done: 0 itself would come through")
    least, required = part.get("minProperties", 0), part.get("required")
    named = len(required) if isinstance(required, list) else 0
    if _is_number(least) and least > max(1, named):
        raise ValueError(
            f"minProperties {least} is not done: names may come twice (accepted: up to the number of required ones)"
        )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
