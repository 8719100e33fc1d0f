"""Rotary position embedding: frequencies, their scalings, and the rotation itself."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from plugtron.nn.config import RotaryConfig, Temperature

__all__ = ["Rotary", "Rotation", "growth", "rotate"]

#: Cosines and signed sines [T, 1, D] of the D channels that rotate, computed once per step and shared by all layers;
#: of each way in which layers rotate, one after the other. Then what queries are multiplied with [T, 1, 1], of each
#: way in which they grow with their position.
Rotation = tuple[Tensor, ...]


class Rotary:
    """Makes the rotation of a step from its positions."""

    def __init__(self, config: RotaryConfig, head_dim: int, device: torch.device, dtype: torch.dtype) -> None:
        self._frequencies = frequencies(config, config.width or head_dim).to(device)
        self._factor = config.attention_factor
        self._dtype = dtype
        self._interleaved = config.interleaved

    def __call__(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the rotation of positions [T]."""
        angles = positions.to(torch.float32).unsqueeze(1) * self._frequencies  # [T, D / 2]
        cosine, sine = angles.cos() * self._factor, angles.sin() * self._factor
        if self._interleaved:
            cosines, sines = cosine.repeat_interleave(2, dim=1), torch.stack((-sine, sine), dim=2).flatten(1)
        else:
            cosines, sines = torch.cat((cosine, cosine), dim=1), torch.cat((-sine, sine), dim=1)
        return cosines.to(self._dtype).unsqueeze(1), sines.to(self._dtype).unsqueeze(1)


def rotate(heads: Tensor, rotation: tuple[Tensor, Tensor], *, interleaved: bool = False) -> Tensor:
    """Rotate queries or keys [T, heads, D]; where fewer channels rotate, the others follow unchanged."""
    cosines, sines = rotation
    width = cosines.shape[-1]
    if width < heads.shape[-1]:
        rotated = rotate(heads[..., :width], rotation, interleaved=interleaved)
        return torch.cat((rotated, heads[..., width:]), dim=-1)
    if interleaved:
        swapped = heads.unflatten(-1, (-1, 2)).flip(-1).flatten(-2)
    else:
        swapped = heads.roll(heads.shape[-1] // 2, dims=-1)
    return torch.addcmul(heads * cosines, swapped, sines)


def growth(temperature: Temperature, positions: Tensor, dtype: torch.dtype) -> Tensor:
    """What queries at positions [T] are multiplied with, [T, 1, 1]."""
    periods = torch.div(positions + temperature.first, temperature.period, rounding_mode="floor")
    grown = 1 + temperature.beta * torch.log1p(periods.to(torch.float32))
    return grown.to(dtype).view(-1, 1, 1)


def frequencies(config: RotaryConfig, head_dim: int) -> Tensor:
    """Return the angle per position of each pair, [D / 2] float32."""
    exponents = torch.arange(0, head_dim, 2, dtype=torch.int64).to(torch.float32) / head_dim
    plain = 1.0 / (config.base**exponents)
    if config.scaling == "linear":
        return plain / config.factor
    if config.scaling == "factors":
        return plain / torch.tensor(config.factors)
    if config.scaling == "llama3":
        return _llama3(plain, config)
    if config.scaling == "yarn":
        return _yarn(plain, config, head_dim)
    return plain


def _llama3(plain: Tensor, config: RotaryConfig) -> Tensor:
    """Divide long waves by the factor, keep short ones, and go over smoothly in between."""
    wavelengths = 2 * math.pi / plain
    turns = config.original_positions / wavelengths
    smooth = (turns - config.low_frequency) / (config.high_frequency - config.low_frequency)
    smooth = smooth.clamp(0, 1)
    return (1 - smooth) * plain / config.factor + smooth * plain


def _yarn(plain: Tensor, config: RotaryConfig, head_dim: int) -> Tensor:
    """Divide what turns less than `beta_slow` times over the original length, keep what turns over `beta_fast`."""

    def pair_with(turns: float) -> float:
        waves = config.original_positions / (turns * 2 * math.pi)
        return head_dim * math.log(waves) / (2 * math.log(config.base))

    low, high = pair_with(config.beta_fast), pair_with(config.beta_slow)
    if config.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, head_dim - 1)
    ramp = (torch.arange(head_dim // 2, dtype=torch.float32) - low) / max(high - low, 0.001)
    kept = 1 - ramp.clamp(0, 1)
    return plain / config.factor * (1 - kept) + plain * kept
