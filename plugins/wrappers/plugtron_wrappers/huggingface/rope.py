"""Rotary scalings as config.json writes them, in both of the forms that transformers has had."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from plugtron.errors import CheckpointError
from plugtron.nn import RotaryConfig
from plugtron_wrappers.huggingface.fields import DecoderFields, RopeFields, validated

__all__ = [
    "max_positions",
    "rope_fields",
    "rotary_by_kind",
    "rotary_channels",
    "rotary_from_huggingface",
    "rotary_width",
    "yarn_attention_factor",
]


def rotary_from_huggingface(fields: DecoderFields, file: str, head_dim: int) -> RotaryConfig:
    """Read rope_parameters (transformers 5), or rope_theta and rope_scaling (before).

    Raises:
        CheckpointError: a scaling that is not implemented, or one that is incomplete.
    """
    width = rotary_channels(fields, file, head_dim)
    rotary = _scaled(rope_fields(fields, file), fields, file)
    return rotary if width == head_dim else replace(rotary, width=width)


def rotary_channels(fields: DecoderFields, file: str, head_dim: int) -> int:
    """How many channels of a head rotate.

    Raises:
        CheckpointError: as `rotary_from_huggingface`.
    """
    rope = rope_fields(fields, file)
    share = fields.partial_rotary_factor if rope.partial_rotary_factor is None else rope.partial_rotary_factor
    return head_dim if share is None else rotary_width(head_dim, share, file)


def rotary_width(head_dim: int, share: float, file: str) -> int:
    """How many channels of a head rotate, where that is a share of them.

    Raises:
        CheckpointError: they do not come to pairs.
    """
    width = int(head_dim * share)
    if width < 2 or width % 2:
        raise CheckpointError(f"{file}: {width} of the {head_dim} channels of a head are to rotate, which are no pairs")
    return width


def rotary_by_kind(
    fields: DecoderFields, file: str, head_dim: int, bases: Mapping[str, float], *, scaled: str
) -> dict[str, RotaryConfig]:
    """Read rotations that differ by the kind of layer: rope_parameters has a mapping for each.

    Args:
        bases: of each kind, where its mapping does not say.
        scaled: the kind that rope_scaling (transformers before 5) is about.

    Raises:
        CheckpointError: as `rotary_from_huggingface`; a kind that there is none of.
    """
    written = fields.rope_parameters or {}
    for kind, parameters in written.items():
        if kind not in bases or not isinstance(parameters, dict | None):
            accepted = f"a mapping for each of {', '.join(bases)}"
            raise CheckpointError(f"{file}: rope_parameters.{kind} {parameters!r} (accepted: {accepted})")
    rotaries = {}
    for kind, base in bases.items():
        own = {
            "rope_theta": base,
            "rope_scaling": fields.rope_scaling if kind == scaled else None,
            "rope_parameters": written.get(kind),
        }
        rotaries[kind] = rotary_from_huggingface(fields.model_copy(update=own), f"{file}: {kind}", head_dim)
    return rotaries


def _scaled(rope: RopeFields, fields: DecoderFields, file: str) -> RotaryConfig:
    base = fields.rope_theta if rope.rope_theta is None else rope.rope_theta
    need = partial(_need, rope, file)
    if rope.rope_type == "longrope":
        raise CheckpointError(f"{file}: rotary scaling 'longrope' is not implemented for this family")
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
        factor = _yarn_factor(rope, fields, file)
        return RotaryConfig(
            base=base,
            scaling="yarn",
            factor=factor,
            original_positions=rope.original_max_position_embeddings or fields.max_position_embeddings,
            beta_fast=rope.beta_fast or 32.0,
            beta_slow=rope.beta_slow or 1.0,
            attention_factor=yarn_attention_factor(factor, rope.model_dump()),
            truncate=rope.truncate,
        )
    # "dynamic" changes nothing within max_position_embeddings, and no sequence becomes longer here.
    return RotaryConfig(base=base)


def max_positions(fields: DecoderFields, file: str) -> int:
    """How long a sequence may become: a scaling lengthens what the model was trained for.

    max_position_embeddings counts where it is larger, as in folders that have been lengthened on paper already.

    Raises:
        CheckpointError: as `rotary_from_huggingface`.
    """
    rope, written = rope_fields(fields, file), fields.max_position_embeddings
    if rope.rope_type == "linear":
        return max(written, int(written * _need(rope, file, "factor")))
    if rope.rope_type == "yarn":
        return max(written, int((rope.original_max_position_embeddings or written) * _yarn_factor(rope, fields, file)))
    return written


def rope_fields(fields: DecoderFields, file: str) -> RopeFields:
    """Rotary parameters, from whichever form they are written in.

    Raises:
        CheckpointError: one is wrong.
    """
    name = "rope_parameters" if fields.rope_parameters else "rope_scaling"
    written = {**(fields.rope_scaling or {}), **(fields.rope_parameters or {})}
    if "type" in written:
        written.setdefault("rope_type", written["type"])
    if fields.original_max_position_embeddings is not None and written.get("original_max_position_embeddings") is None:
        written["original_max_position_embeddings"] = fields.original_max_position_embeddings
    return validated(RopeFields, written, f"{file}: {name}")


def _yarn_factor(rope: RopeFields, fields: DecoderFields, file: str) -> float:
    """As written; else by how much max_position_embeddings is more than the original."""
    if rope.factor is None and rope.original_max_position_embeddings is not None:
        return fields.max_position_embeddings / rope.original_max_position_embeddings
    return _need(rope, file, "factor")


def _need(rope: RopeFields, file: str, field: str) -> float:
    value = getattr(rope, field)
    if value is None:
        raise CheckpointError(f"{file}: rotary scaling {rope.rope_type!r} needs {field}")
    return value


def yarn_attention_factor(factor: float, written: Mapping[str, Any]) -> float:
    """By how much cosines and sines are scaled: as written, else as section 3.4 of the paper suggests."""
    if written.get("attention_factor") is not None:
        return float(written["attention_factor"])

    def scale(multiplier: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * multiplier * math.log(factor) + 1.0

    if written.get("mscale") and written.get("mscale_all_dim"):
        return scale(written["mscale"]) / scale(written["mscale_all_dim"])
    return scale(1.0)
