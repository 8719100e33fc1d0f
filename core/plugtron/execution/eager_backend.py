"""The eager backend: a decoder's own code, its weights rounded to what quantizing leaves of them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from plugtron.contracts.attention import AttentionBackend
from plugtron.contracts.decoder import Decoder
from plugtron.contracts.execution import DecoderSource, Execution, ExecutionBackend
from plugtron.execution.eager import EagerExecution
from plugtron.nn.attention import Attention
from plugtron.nn.decoder import TransformerDecoder
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear
from plugtron.quantization.method import HeldWeight, QuantizationMethod, dense, hold_all

__all__ = ["EagerBackend"]


class EagerBackend(ExecutionBackend):
    """Runs any decoder on any device."""

    name = "eager"
    samples = False

    def why_not(self, source: DecoderSource) -> str:
        """There is nothing that it cannot run."""
        del source
        return ""

    def load(self, source: DecoderSource) -> Execution:
        """Load the weights, and round them."""
        decoder = source.load(source.layers)
        if source.options.quantization is not None:
            _quantize_in_place(decoder, source.options.quantization)
        if source.options.attention is not None:
            _attend_with(decoder, source.options.attention)
        return EagerExecution(decoder, last=source.layers.stop == source.num_layers, dtype=source.runtime.dtype)


def _attend_with(decoder: Decoder, backend: AttentionBackend) -> None:
    assert isinstance(decoder, torch.nn.Module)
    for module in decoder.modules():
        if isinstance(module, Attention):
            module.backend = backend


def _quantize_in_place(decoder: Decoder, method: QuantizationMethod) -> None:
    """Replace the weights of linear layers and head by what they are after quantizing."""
    assert isinstance(decoder, torch.nn.Module)
    if isinstance(decoder, TransformerDecoder) and decoder.output is not None:
        held = hold_all(method, "head", decoder.output.weight.data)
        if held is not None:
            # A tied head is the embedding, and what that looks up stays as it is.
            head = copy.deepcopy(decoder.output)
            head.weight.data = _rounded(held, head.weight)
            decoder.output = head
    for module in decoder.modules():
        if isinstance(module, ColumnParallelLinear | RowParallelLinear):
            held = hold_all(method, "layer", module.weight.data)
            if held is not None:
                module.weight.data = _rounded(held, module.weight)


def _rounded(held: HeldWeight, weight: Tensor) -> Tensor:
    return dense(held).to(weight.dtype)
