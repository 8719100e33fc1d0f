"""Rotary scalings as GGUF files write them."""

from __future__ import annotations

from dataclasses import replace

from plugtron.contracts import CheckpointReader
from plugtron.errors import CheckpointError
from plugtron.nn import RotaryConfig
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.huggingface.rope import yarn_attention_factor

__all__ = ["ROTARY_KEYS", "longrope_from_gguf", "rotary_from_gguf"]

#: Keys that are read here, or change nothing.
ROTARY_KEYS = frozenset(
    {
        "rope.dimension_count",
        "rope.freq_base",
        "rope.scaling.attn_factor",
        "rope.scaling.factor",
        "rope.scaling.finetuned",
        "rope.scaling.original_context_length",
        "rope.scaling.type",
        "rope.scale_linear",
        "rope.scaling.yarn_attn_factor",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow",
        "rope.scaling.yarn_log_multiplier",
    }
)


def rotary_from_gguf(metadata: Metadata, checkpoint: CheckpointReader, head_dim: int) -> RotaryConfig:
    """Read the rotation of all layers, of halves of a head against each other.

    Raises:
        CheckpointError: a scaling that is not implemented, or channels that are no pairs.
    """
    width = _width(metadata, head_dim)
    rotary = _scaled(metadata, checkpoint, width)
    return rotary if width == head_dim else replace(rotary, width=width)


def longrope_from_gguf(
    metadata: Metadata, checkpoint: CheckpointReader, head_dim: int, *, long: bool
) -> tuple[RotaryConfig, int]:
    """Read the rotation of a model that has one for short texts and one for long ones, and for how many positions.

    Args:
        long: the one for long texts, of as many positions as there are.

    Raises:
        CheckpointError: as `rotary_from_gguf`; `long`, and there is but one.
    """
    longest = metadata.need("context_length")
    width = _width(metadata, head_dim)
    name = f"rope_factors_{'long' if long else 'short'}.weight"
    if name not in metadata.shapes:
        if long:
            raise CheckpointError(f"{metadata.model.path}: long_factors is for models with {name}")
        return rotary_from_gguf(metadata, checkpoint, head_dim), longest
    rotary = RotaryConfig(
        base=float(metadata.get("rope.freq_base", 10_000.0)),
        width=None if width == head_dim else width,
        scaling="factors",
        factors=_factors(metadata, checkpoint, name, width),
        attention_factor=float(metadata.get("rope.scaling.attn_factor", 1.0)),
    )
    original = metadata.get("rope.scaling.original_context_length", longest)
    return rotary, longest if long else min(original, longest)


def _width(metadata: Metadata, head_dim: int) -> int:
    width = metadata.get("rope.dimension_count", head_dim)
    if width > head_dim or width < 2 or width % 2:
        raise metadata.error(f"rope.dimension_count (= {width})", f"must be an even number up to {head_dim}")
    return width


def _factors(metadata: Metadata, checkpoint: CheckpointReader, name: str, width: int) -> tuple[float, ...]:
    factors = tuple(checkpoint.read(name).flatten().tolist())
    if len(factors) != width // 2 or not all(0 < factor < 1e6 for factor in factors):
        path = metadata.model.path
        raise CheckpointError(f"{path}: {name} must have {width // 2} factors, all of them between 0 and 1e6")
    return factors


def _scaled(metadata: Metadata, checkpoint: CheckpointReader, width: int) -> RotaryConfig:
    base = float(metadata.get("rope.freq_base", 10_000.0))
    kind = metadata.get("rope.scaling.type", "linear")
    factor = float(metadata.get("rope.scaling.factor", metadata.get("rope.scale_linear", 0.0))) or 1.0
    if "rope_freqs.weight" in metadata.shapes:
        factors = _factors(metadata, checkpoint, "rope_freqs.weight", width)
        return RotaryConfig(base=base, scaling="factors", factors=factors)
    if kind == "none" or factor == 1.0:
        return RotaryConfig(base=base)
    if kind == "linear":
        return RotaryConfig(base=base, scaling="linear", factor=factor)
    if kind == "yarn":
        if base <= 1:
            raise metadata.error(f"rope.freq_base (= {base:g})", "must be above 1 where the scaling is yarn")
        return RotaryConfig(
            base=base,
            scaling="yarn",
            factor=factor,
            original_positions=int(
                metadata.get("rope.scaling.original_context_length", metadata.need("context_length"))
            ),
            beta_fast=float(metadata.get("rope.scaling.yarn_beta_fast", 32.0)),
            beta_slow=float(metadata.get("rope.scaling.yarn_beta_slow", 1.0)),
            attention_factor=_yarn_attention_factor(factor, metadata),
        )
    raise CheckpointError(f"{metadata.model.path}: rope.scaling.type {kind!r} (accepted: none, linear, yarn)")


def _yarn_attention_factor(factor: float, metadata: Metadata) -> float:
    """As written, else as the paper suggests. llama.cpp multiplies a factor of its own on top."""
    multiplier = metadata.get("rope.scaling.yarn_log_multiplier", 0.0)
    written = {
        "attention_factor": metadata.get("rope.scaling.yarn_attn_factor", None),
        "mscale": 1.0 if multiplier else None,
        "mscale_all_dim": multiplier,
    }
    return yarn_attention_factor(factor, written) * float(metadata.get("rope.scaling.attn_factor", 1.0))
