"""Quantized matrices in safetensors: under a matrix's name with `.values`, `.scales` and, for 4 bits, `.minimums`.

Values [O, I] are bytes, or [O, I / 2] where two of 4 bits share one: the even columns in the low halves. Scales and
minimums are float16 [O, I / 32]; plugtron.quantization.weight says what a value stands for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from plugtron.contracts.checkpoint import TensorInfo
from plugtron.quantization.weight import GROUP, QuantizedWeight

__all__ = ["as_stored", "from_stored", "merged"]

_VALUES, _SCALES, _MINIMUMS = ".values", ".scales", ".minimums"


def as_stored(name: str, weight: QuantizedWeight) -> dict[str, Tensor]:
    """The tensors that a matrix is written as."""
    values = weight.values
    if weight.bits == 4:
        values = values[:, 0::2] | values[:, 1::2] << 4
    found = {name + _VALUES: values.contiguous(), name + _SCALES: weight.scales.contiguous()}
    return found if weight.minimums is None else {**found, name + _MINIMUMS: weight.minimums.contiguous()}


def merged(stored: Mapping[str, TensorInfo]) -> dict[str, TensorInfo]:
    """Tensors by name, those that belong together as the one matrix that they are; its dtype is INT4 or INT8."""
    found = dict(stored)
    for name in [name.removesuffix(_SCALES) for name in stored if name.endswith(_SCALES)]:
        if name + _VALUES in stored:
            info = found[name + _SCALES]
            outputs, groups = info.shape
            bits = 4 if stored[name + _VALUES].shape[1] < groups * GROUP else 8
            found[name] = TensorInfo(shape=(outputs, groups * GROUP), dtype=f"INT{bits}", file=info.file)
            for suffix in (_VALUES, _SCALES, _MINIMUMS):
                found.pop(name + suffix, None)
    return found


def from_stored(
    name: str, info: TensorInfo, part: tuple[slice, ...], read: Callable[[str, tuple[slice, ...]], Tensor]
) -> QuantizedWeight | None:
    """Some rows and columns of a matrix; None where columns are no whole groups. `read` reads a part of a tensor."""
    rows, columns = (*part, slice(None), slice(None))[:2]
    start, stop, _ = columns.indices(info.shape[1])
    if start % GROUP or stop % GROUP:
        return None
    bits = int(info.dtype.removeprefix("INT"))
    together = 8 // bits
    values = read(name + _VALUES, (rows, slice(start // together, stop // together)))
    if bits == 4:
        values = torch.stack([values & 15, values >> 4], dim=2).flatten(1)
    groups = (rows, slice(start // GROUP, stop // GROUP))
    minimums = read(name + _MINIMUMS, groups) if bits == 4 else None
    return QuantizedWeight(bits=bits, values=values, scales=read(name + _SCALES, groups), minimums=minimums)
