"""Rotary scalings as config.json writes them, in both of the forms that transformers has had."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from plugtron.errors import CheckpointError
from plugtron.nn import RotaryConfig
from plugtron_wrappers.huggingface_fields import LlamaFields, RopeFields, validated

__all__ = ["rotary_from_huggingface", "yarn_attention_factor"]


def rotary_from_huggingface(fields: LlamaFields, file: str) -> RotaryConfig:
    """Read rope_parameters (transformers 5), or rope_theta and rope_scaling (before).

    Raises:
        CheckpointError: a scaling that is not implemented, or one that is incomplete.
    """
    name = "rope_parameters" if fields.rope_parameters else "rope_scaling"
    written = {**(fields.rope_scaling or {}), **(fields.rope_parameters or {})}
    if "type" in written:
        written.setdefault("rope_type", written["type"])
    rope = validated(RopeFields, written, f"{file}: {name}")
    base = fields.rope_theta if rope.rope_theta is None else rope.rope_theta

    def need(field: str) -> float:
        value = getattr(rope, field)
        if value is None:
            raise CheckpointError(f"{file}: {name}: {rope.rope_type!r} needs {field}")
        return value

    if rope.rope_type == "linear":
        return RotaryConfig(base=base, scaling="linear", factor=need("factor"))
    if rope.rope_type == "llama3":
        return RotaryConfig(
            base=base,
            scaling="llama3",
            factor=need("factor"),
            original_positions=int(need("original_max_position_embeddings")),
            low_frequency=need("low_freq_factor"),
            high_frequency=need("high_freq_factor"),
        )
    if rope.rope_type == "yarn":
        return RotaryConfig(
            base=base,
            scaling="yarn",
            factor=need("factor"),
            original_positions=rope.original_max_position_embeddings or fields.max_position_embeddings,
            beta_fast=rope.beta_fast or 32.0,
            beta_slow=rope.beta_slow or 1.0,
            attention_factor=yarn_attention_factor(need("factor"), rope.model_dump()),
            truncate=rope.truncate,
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
