"""Rows as 8-bit integers with a scale each: how keys and values of `model.kv_dtype: int8` are kept."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["LARGEST_CODE", "quantize_int8"]

#: Codes are symmetric: the largest number of a row becomes this, or its negative.
LARGEST_CODE = 127
#: What is smaller has no inverse in float32; a row of such numbers is one of zeros.
_LEAST = 1e-30


def quantize_int8(numbers: Tensor) -> tuple[Tensor, Tensor]:
    """Return numbers [..., D] rounded to int8 [..., D] and the scales [...] float32 to multiply them with.

    A row with a number that is not finite has a scale of NaN.
    """
    rows = numbers.float()
    largest = rows.abs().amax(-1)
    scales = torch.where(largest < _LEAST, 0.0, largest / LARGEST_CODE)
    inverses = torch.where(largest < _LEAST, 0.0, LARGEST_CODE / largest)
    codes = (rows * inverses.unsqueeze(-1)).round().nan_to_num(0.0).to(torch.int8)
    return codes, torch.where(largest.isfinite(), scales, torch.nan)
