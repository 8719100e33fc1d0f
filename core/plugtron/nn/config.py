"""What a decoder looks like, in numbers. Wrappers translate a checkpoint's own configuration into this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["DecoderConfig", "RotaryConfig"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RotaryConfig:
    """Rotary position embedding (arXiv:2104.09864) and how it is stretched to longer texts.

    linear: positions are divided by `factor`. llama3: low frequencies are divided by it, high ones kept
    (`low_frequency`, `high_frequency`: wavelengths per `original_positions`). yarn (arXiv:2309.00071): the same
    between `beta_slow` and `beta_fast` turns, and scores scaled by `attention_factor`. factors: one divisor per
    frequency, as GGUF files carry them.
    """

    base: float
    scaling: Literal["none", "linear", "llama3", "yarn", "factors"] = "none"
    factor: float = 1.0
    original_positions: int = 0
    low_frequency: float = 1.0
    high_frequency: float = 4.0
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float = 1.0
    truncate: bool = True
    factors: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class DecoderConfig:
    """A decoder of pre-normed attention and gated MLP layers.

    `windows` and `rotates` have one entry per layer: how far it looks back (None: all the way), and whether it
    rotates queries and keys by position.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int
    norm_epsilon: float
    rotary: RotaryConfig
    windows: tuple[int | None, ...]
    rotates: tuple[bool, ...]
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    tied: bool = False
