"""Parameters that change nothing without others: a field's `json_schema_extra` may name one that it `needs`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

__all__ = ["unmet_needs"]


def unmet_needs(model: type[BaseModel], asked: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Say of the parameters that are asked for which of them change nothing: the name, and what is wrong."""
    for name, field in model.model_fields.items():
        declared = field.json_schema_extra
        needed = declared.get("needs") if isinstance(declared, dict) else None
        if asked.get(name) is not None and isinstance(needed, str) and asked.get(needed) is None:
            yield name, f"changes nothing without {needed}"
