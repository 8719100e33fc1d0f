"""The eager backend: a decoder's own code, its weights rounded to what quantizing leaves of them."""

from __future__ import annotations

import torch

from plugtron.contracts.attention import AttentionBackend
from plugtron.contracts.decoder import Decoder
from plugtron.contracts.execution import DecoderSource, Execution, ExecutionBackend
from plugtron.errors import PlugtronError
from plugtron.execution.eager import EagerExecution
from plugtron.execution.rounding import quantized_part, round_experts
from plugtron.nn.attention import CoreAttention
from plugtron.nn.experts import Experts
from plugtron.parallel.layers import ShardedModule
from plugtron.quantization.method import QuantizationMethod, dense, hold_all
from plugtron.quantization.packed_weight import PackedWeight

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
        """Load the weights, and round them.

        Raises:
            PlugtronError: an attention that is named does not read keys and values in int8.
        """
        attention = source.options.attention
        if source.options.kv_dtype == torch.int8 and attention is not None and not attention.takes_int8:
            name = f"{type(attention).__module__}.{type(attention).__qualname__}"
            raise PlugtronError(f"model.kv_dtype int8: attention {name} does not take it (accepted here: auto)")
        decoder = source.load(source.layers)
        if source.options.quantization is not None:
            _quantize_in_place(decoder, source.options.quantization)
        if attention is not None:
            _attend_with(decoder, attention)
        return EagerExecution(decoder, last=source.layers.stop == source.num_layers, dtype=source.runtime.dtype)


def _attend_with(decoder: Decoder, backend: AttentionBackend) -> None:
    assert isinstance(decoder, torch.nn.Module)
    for module in decoder.modules():
        if isinstance(module, CoreAttention):
            module.backend = backend


def _quantize_in_place(decoder: Decoder, method: QuantizationMethod) -> None:
    """Replace the weights of linear layers and head by what they are after quantizing, or by a form of the method's."""
    assert isinstance(decoder, torch.nn.Module)
    for module in decoder.modules():
        if isinstance(module, Experts):
            round_experts(method, module)
        part = quantized_part(module)
        if part is None:
            continue
        assert isinstance(module, ShardedModule), "linear layers and heads are"
        weight = module.get_parameter("weight").data
        held = hold_all(method, part, weight)
        if isinstance(held, PackedWeight):
            module.product = held
        if held is not None:
            left = dense(held).to(weight.dtype) if module.product is None else weight.new_empty(0, weight.shape[1])
            # In a new parameter: a tied head is the embedding, and what that looks up stays as it is.
            module.register_parameter("weight", torch.nn.Parameter(left, requires_grad=False))
