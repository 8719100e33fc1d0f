"""Token ids and biases, as Python, JSON and other libraries write them."""

from __future__ import annotations

from operator import index
from typing import Annotated, Any

from pydantic import AfterValidator, WithJsonSchema
from pydantic.config import JsonDict

__all__ = ["Bias", "bias_number", "token_id"]

#: The largest bias.
_MOST_BIAS = 1e6
#: How minus infinity is written where a file has no number for it.
_MINUS_INFINITY = ("-inf", "-Infinity")


def _check_bias(value: float) -> float:
    if value != float("-inf") and not abs(value) <= _MOST_BIAS:
        raise ValueError(f"must be from {-_MOST_BIAS:.0f} to {_MOST_BIAS:.0f}, or -inf (got {value!r})")
    return value


_BIAS_SCHEMA: JsonDict = {
    "anyOf": [{"type": "number", "minimum": -_MOST_BIAS, "maximum": _MOST_BIAS}, {"enum": ["-inf", "-Infinity"]}]
}

Bias = Annotated[float, AfterValidator(_check_bias), WithJsonSchema(_BIAS_SCHEMA)]


def bias_number(value: Any) -> Any:
    """A bias as a float: JSON has no infinity."""
    if isinstance(value, str):
        return float("-inf") if value in _MINUS_INFINITY else value
    return value.tolist() if hasattr(value, "tolist") else value


def token_id(value: Any) -> Any:
    """A token id as an int: whole numbers of any library, and the keys of JSON."""
    if isinstance(value, str):
        return int(value) if value.isascii() and value.isdecimal() and len(value) < 20 else value
    return index(value) if hasattr(value, "__index__") and not isinstance(value, bool) else value
