"""Loading a decoder's weights onto a device in the form in which they are multiplied with."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from plugtron.execution.source import DecoderSource
from plugtron.kernels.triton.device_weight import DeviceWeight
from plugtron.nn.decoder import TransformerDecoder
from plugtron.parallel.choices import Quantization
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear, ShardedModule
from plugtron.quantization.policy import Form, form_of
from plugtron.quantization.weight import QuantizedWeight

__all__ = ["load_quantized"]

#: Rows that are quantized at once: what that takes in between is in float32.
_ROWS = 8192


def load_quantized(source: DecoderSource) -> TransformerDecoder:
    """Return a decoder with the weights of linear layers and head as its runtime says.

    Quantized ones are loaded layer by layer, so that no more than one is ever there unquantized; the head is then of 8
    bits in groups. What an embedding looks up stays as it is, and so do weights whose inputs make no whole groups.

    Raises:
        CheckpointError: the checkpoint holds something else than this decoder.
    """
    runtime = source.runtime
    if runtime.quantization is None:
        whole = _known(source, source.layers)
        if runtime.deterministic:
            _hold_in_order(whole)
        return whole
    source.check()
    decoders = [_load(source, layer, runtime.quantization) for layer in source.layers]
    whole, last = decoders[0], decoders[-1]
    whole.stack = nn.ModuleList(decoder.layers[0] for decoder in decoders)
    whole.final_norm = last.final_norm
    # A tied head is the embedding, of which the last layer came with a copy.
    whole.output = whole.embedding if source.config.tied else last.output
    del decoders, last
    assert whole.output is not None
    form = form_of("head", runtime.quantization, source.config.hidden_size)
    _hold(whole.output, form, in_order=runtime.deterministic, keeps=whole.output is whole.embedding)
    return whole


def _known(source: DecoderSource, layers: range) -> TransformerDecoder:
    decoder = source.load(layers)
    assert isinstance(decoder, TransformerDecoder), "the whole of it has been checked"
    return decoder


def _load(source: DecoderSource, layer: int, form: Quantization) -> TransformerDecoder:
    decoder = _known(source, range(layer, layer + 1))
    for module in decoder.stack.modules():
        if isinstance(module, ColumnParallelLinear | RowParallelLinear):
            _hold(
                module,
                form_of("layer", form, module.weight.shape[1]),
                in_order=source.runtime.deterministic,
                keeps=False,
            )
    return decoder


def _hold_in_order(decoder: TransformerDecoder) -> None:
    """Use batch-invariant matmuls: torch picks its algorithm by batch size."""
    for module in decoder.modules():
        if isinstance(module, ColumnParallelLinear | RowParallelLinear) or module is decoder.output:
            assert isinstance(module, ShardedModule)
            module.product = DeviceWeight(format="plain", values=module.get_parameter("weight").data, in_order=True)


def _hold(module: ShardedModule, form: Form | None, *, in_order: bool, keeps: bool) -> None:
    """Quantize a module's weight. `keeps`: as a table that is looked up it stays as well."""
    weight = module.get_parameter("weight")
    if form is None:
        if in_order:
            module.product = DeviceWeight(format="plain", values=weight.data, in_order=True)
        return
    if form == "fp8":
        module.product = DeviceWeight.float8(weight.data, in_order=in_order)
    else:
        quantized = _quantized(weight.data, form)
        module.product = DeviceWeight.grouped(quantized, weight.device, in_order=in_order)
    if not keeps:
        weight.data = weight.new_empty(0, weight.shape[1])


def _quantized(weight: Tensor, bits: int) -> QuantizedWeight:
    return QuantizedWeight.stacked([QuantizedWeight.of(rows, bits) for rows in torch.split(weight, _ROWS)])
