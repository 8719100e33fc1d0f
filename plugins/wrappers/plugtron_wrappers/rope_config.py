"""Rotary scalings as config.json writes them, in both of the forms that transformers has had."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from plugtron.errors import CheckpointError
from plugtron.nn import RotaryConfig

__all__ = ["rotary_from_huggingface", "yarn_attention_factor"]

_KINDS = ("default", "linear", "llama3", "yarn")


def rotary_from_huggingface(values: Mapping[str, Any], file: str) -> RotaryConfig:
    """Read rope_parameters (transformers 5), or rope_theta and rope_scaling (before).

    Raises:
        CheckpointError: a scaling that is not implemented, or one that is incomplete.
    """
    written: dict[str, Any] = {**(values.get("rope_scaling") or {}), **(values.get("rope_parameters") or {})}
    base = float(written.get("rope_theta", values.get("rope_theta", 10_000.0)))
    kind = written.get("rope_type", written.get("type", "default"))
    if kind not in _KINDS:
        raise CheckpointError(f"{file}: rotary scaling {kind!r} is not implemented (accepted: {', '.join(_KINDS)})")
    if written.get("partial_rotary_factor", 1.0) != 1.0:
        raise CheckpointError(f"{file}: partial_rotary_factor {written['partial_rotary_factor']} is not implemented")
    try:
        return _scaled(kind, base, written, values)
    except KeyError as missing:
        raise CheckpointError(f"{file}: rotary scaling {kind!r} needs {missing}") from None


def _scaled(kind: str, base: float, written: Mapping[str, Any], values: Mapping[str, Any]) -> RotaryConfig:
    if kind == "linear":
        return RotaryConfig(base=base, scaling="linear", factor=float(written["factor"]))
    if kind == "llama3":
        return RotaryConfig(
            base=base,
            scaling="llama3",
            factor=float(written["factor"]),
            original_positions=int(written["original_max_position_embeddings"]),
            low_frequency=float(written["low_freq_factor"]),
            high_frequency=float(written["high_freq_factor"]),
        )
    if kind == "yarn":
        original = written.get("original_max_position_embeddings") or values["max_position_embeddings"]
        factor = float(written["factor"])
        return RotaryConfig(
            base=base,
            scaling="yarn",
            factor=factor,
            original_positions=int(original),
            beta_fast=float(written.get("beta_fast") or 32),
            beta_slow=float(written.get("beta_slow") or 1),
            attention_factor=yarn_attention_factor(factor, written),
            truncate=bool(written.get("truncate", True)),
        )
    return RotaryConfig(base=base)


def yarn_attention_factor(factor: float, written: Mapping[str, Any]) -> float:
    """By how much cosines and sines are scaled: as written, else as section 3.4 of the paper suggests."""
    if written.get("attention_factor") is not None:
        return float(written["attention_factor"])

    def scale(multiplier: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * multiplier * math.log(factor) + 1.0

    if written.get("mscale") and written.get("mscale_all_dim"):
        return scale(written["mscale"]) / scale(written["mscale_all_dim"])
    return scale(1.0)
