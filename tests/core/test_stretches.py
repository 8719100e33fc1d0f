"""Large tensors are read and dequantized some rows at a time: all of them arrive, and each in its place."""

from importlib import import_module

import pytest
import torch
from torch import nn

from plugtron.execution import stored
from plugtron.parallel.layers import Part
from plugtron.quantization.weight import QuantizedWeight

loader = import_module("plugtron.checkpoint.loader")


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ((), ()),
        ((slice(4, 9), slice(1, 3)), (slice(2, 7), slice(0, 2))),
        ((slice(10, 20),), (slice(0, 10),)),
        ((slice(20, 20),), (slice(0, 0),)),
    ],
)
def test_parts_by_stretches(monkeypatch, source, target):
    monkeypatch.setattr(loader, "_STRETCH", 7)
    tensor = torch.arange(60.0).view(20, 3)
    part = Part(shape=(20, 3), source=source, target=target)
    whole, by_stretches = torch.zeros(20, 3), torch.zeros(20, 3)
    whole[part.target] = tensor[part.source]
    pieces = list(loader._in_stretches(part))
    assert len(pieces) > 1 or tensor[part.source].numel() <= 7
    for piece in pieces:
        by_stretches[piece.target] = tensor[piece.source]
    assert torch.equal(by_stretches, whole)


def test_blocks_by_stretches(monkeypatch):
    monkeypatch.setattr(stored, "_STRETCH", 100)
    numbers = torch.randn(9, 64, generator=torch.Generator().manual_seed(1))
    blocks = (QuantizedWeight.of(numbers[:5], 8), QuantizedWeight.of(numbers[5:], 4))
    parameter = nn.Parameter(torch.zeros(12, 64), requires_grad=False)  # three rows are padding
    pieces = list(stored.dense_stretches({parameter: blocks}, parameter))
    assert len(pieces) > 9
    expected = torch.cat([*(each.dense() for each in blocks), torch.zeros(3, 64)])
    assert torch.equal(torch.cat(pieces), expected)
    assert torch.equal(torch.cat(list(stored.dense_stretches({}, parameter))), parameter)
