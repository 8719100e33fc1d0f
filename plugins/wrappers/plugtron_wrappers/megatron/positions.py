"""How a GPTModel knows positions: rotations, windows, and the layers without them."""

from __future__ import annotations

import math
from collections.abc import Collection

from plugtron.errors import CheckpointError
from plugtron.nn import RotaryConfig
from plugtron_wrappers.huggingface.fields import one_per_layer
from plugtron_wrappers.megatron.fields import MegatronFields

__all__ = ["rotary_of", "rotates", "windows"]

#: The length that Megatron's llama3 scaling takes the model to have been trained with first.
_LLAMA3_POSITIONS = 8192


def rotary_of(fields: MegatronFields, head_dim: int, place: str) -> RotaryConfig | None:
    """How layers rotate, neighbors already being halves; None: no layer does.

    Raises:
        CheckpointError: they cannot.
    """
    kind = "rope" if fields.use_rotary_position_embeddings else fields.position_embedding_type
    if kind == "yarn":
        return _yarn(fields, head_dim, place)
    return _rope(fields, head_dim, place) if kind == "rope" else None


def _rope(fields: MegatronFields, head_dim: int, place: str) -> RotaryConfig:
    width = int(head_dim * fields.rotary_percent) if fields.rotary_percent < 1 else None
    if (width or head_dim) % 2 and (width or head_dim) == head_dim:
        raise CheckpointError(f"{place}: heads of {head_dim} channels cannot be rotated in pairs")
    if fields.use_rope_scaling and fields.rotary_seq_len_interpolation_factor is not None:
        raise CheckpointError(f"{place}: use_rope_scaling and rotary_seq_len_interpolation_factor exclude each other")
    if fields.use_rope_scaling:
        return RotaryConfig(
            base=fields.rotary_base,
            width=width,
            scaling="llama3",
            factor=fields.rope_scaling_factor,
            original_positions=_LLAMA3_POSITIONS,
        )
    if fields.rotary_seq_len_interpolation_factor is not None:
        return RotaryConfig(
            base=fields.rotary_base,
            width=width,
            scaling="linear",
            factor=fields.rotary_seq_len_interpolation_factor,
        )
    return RotaryConfig(base=fields.rotary_base, width=width)


def _yarn(fields: MegatronFields, head_dim: int, place: str) -> RotaryConfig:
    """Megatron rotates whole heads, whatever rotary_percent says."""
    if fields.rotary_interleaved:
        raise CheckpointError(f"{place}: rotary_interleaved excludes position_embedding_type 'yarn'")
    if head_dim % 2:
        raise CheckpointError(f"{place}: heads of {head_dim} channels cannot be rotated in pairs")
    factor = fields.rotary_scaling_factor

    def growth(multiplier: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * multiplier * math.log(factor) + 1.0

    return RotaryConfig(
        base=fields.rotary_base,
        scaling="yarn",
        factor=factor,
        original_positions=fields.yarn_original_max_position_embeddings,
        beta_fast=fields.yarn_beta_fast,
        beta_slow=fields.yarn_beta_slow,
        attention_factor=growth(fields.mscale) / growth(fields.mscale_all_dim),
        truncate=fields.yarn_correction_range_round_to_int,
    )


def rotates(fields: MegatronFields, place: str) -> tuple[bool, ...]:
    """Which layers rotate. In the list 1 means that a layer does not rotate; a number, that one in so many does not."""
    freq = fields.no_rope_freq
    if not freq:
        return (True,) * fields.num_layers
    if isinstance(freq, int):
        return tuple((layer + 1) % freq != 0 for layer in range(fields.num_layers))
    return tuple(skip == 0 for skip in one_per_layer("no_rope_freq", freq, fields.num_layers, place))


def windows(fields: MegatronFields, ignored: Collection[str], place: str) -> tuple[int | None, ...]:
    """How far each layer looks back: the window counts the tokens before a token's own; -1 is all of them."""
    if fields.window_size is not None and fields.window_size[1] > 0 and "window_size" not in ignored:
        raise CheckpointError(
            f"{place}: window_size (= {fields.window_size!r}): looking ahead is not implemented; if it changes "
            "nothing, allow it with model.wrapper: {name: gpt, options: {ignore_fields: [window_size]}}"
        )
    if fields.window_size is None or fields.window_size[0] < 0:
        return (None,) * fields.num_layers
    window, freq = fields.window_size[0] + 1, fields.window_attn_skip_freq
    if freq is None:
        return (window,) * fields.num_layers
    if isinstance(freq, int):
        return tuple(window if (layer + 1) % freq else None for layer in range(fields.num_layers))
    marked = one_per_layer("window_attn_skip_freq", freq, fields.num_layers, place)
    return tuple(window if wanted else None for wanted in marked)
