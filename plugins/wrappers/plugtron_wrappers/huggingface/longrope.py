"""longrope (arXiv:2402.13753): a divisor for each frequency, of which there are two lists."""

from __future__ import annotations

import math

from plugtron.errors import CheckpointError
from plugtron.nn import RotaryConfig
from plugtron_wrappers.huggingface.fields import DecoderFields
from plugtron_wrappers.huggingface.rope import rope_fields, rotary_channels

__all__ = ["longrope"]


def longrope(fields: DecoderFields, file: str, head_dim: int, *, long: bool) -> tuple[RotaryConfig, int]:
    """Return the rotation, and for how many positions it is.

    Args:
        long: by the long factors, for all of max_position_embeddings; else by the short ones, for the original length.

    Raises:
        CheckpointError: a list is missing, or does not fit.
    """
    rope, longest = rope_fields(fields, file), fields.max_position_embeddings
    original, width = rope.original_max_position_embeddings or longest, rotary_channels(fields, file, head_dim)
    name = "long_factor" if long else "short_factor"
    factors = rope.long_factor if long else rope.short_factor
    if factors is None or len(factors) != width // 2 or not all(factor > 0 for factor in factors):
        found = "is missing" if factors is None else f"has {len(factors)} entries"
        raise CheckpointError(f"{file}: {name} of longrope {found} (accepted: {width // 2} positive numbers)")
    stretch = longest / original if rope.factor is None else rope.factor
    attention = rope.attention_factor
    if attention is None:
        attention = math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 else 1.0
    rotary = RotaryConfig(
        base=fields.rope_theta if rope.rope_theta is None else rope.rope_theta,
        width=None if width == head_dim else width,
        scaling="factors",
        factors=tuple(factors),
        attention_factor=attention,
    )
    return rotary, longest if long else min(original, longest)
