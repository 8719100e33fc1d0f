"""What a parameter amounts to where a request says nothing of it: declared with the parameter."""

from __future__ import annotations

from typing import Any

from plugtron import Params

__all__ = ["in_force"]


def in_force(asked: Params, name: str) -> Any:
    """The value of a field, or its `unset` value."""
    value = getattr(asked, name)
    if value is not None:
        return value
    declared = type(asked).model_fields[name].json_schema_extra
    assert isinstance(declared, dict), "it is declared with what unset amounts to"
    return declared["unset"]
