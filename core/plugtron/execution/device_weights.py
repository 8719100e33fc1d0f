"""Loading a decoder's weights onto a device in the form in which they are multiplied with."""

from __future__ import annotations

from torch import nn

from plugtron.contracts.execution import DecoderSource
from plugtron.kernels.triton.device_weight import DeviceWeight
from plugtron.nn.decoder import TransformerDecoder
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear, ShardedModule
from plugtron.quantization.method import QuantizationMethod, WeightPart, hold_all

__all__ = ["load_quantized"]


def load_quantized(source: DecoderSource) -> TransformerDecoder:
    """Return a decoder with the weights of linear layers and head as the run's options say.

    Quantized ones are loaded layer by layer, so that no more than one is ever there unquantized; the head is then of 8
    bits in groups. What an embedding looks up stays as it is, and so do weights whose inputs make no whole groups.

    Raises:
        CheckpointError: the checkpoint holds something else than this decoder.
    """
    method, in_order = source.options.quantization, source.options.deterministic
    if method is None:
        whole = _known(source, source.layers)
        if in_order:
            _hold_in_order(whole)
        return whole
    source.check()
    decoders = [_load(source, layer, method) for layer in source.layers]
    whole, last = decoders[0], decoders[-1]
    whole.stack = nn.ModuleList(decoder.layers[0] for decoder in decoders)
    whole.final_norm = last.final_norm
    # A tied head is the embedding, of which the last layer came with a copy.
    whole.output = whole.embedding if source.tied else last.output
    del decoders, last
    assert whole.output is not None
    _hold(whole.output, "head", method, in_order=in_order, keeps=whole.output is whole.embedding)
    return whole


def _known(source: DecoderSource, layers: range) -> TransformerDecoder:
    decoder = source.load(layers)
    assert isinstance(decoder, TransformerDecoder), "the whole of it has been checked"
    return decoder


def _load(source: DecoderSource, layer: int, method: QuantizationMethod) -> TransformerDecoder:
    decoder = _known(source, range(layer, layer + 1))
    for module in decoder.stack.modules():
        if isinstance(module, ColumnParallelLinear | RowParallelLinear):
            _hold(module, "layer", method, in_order=source.options.deterministic, keeps=False)
    return decoder


def _hold_in_order(decoder: TransformerDecoder) -> None:
    """Use batch-invariant matmuls: torch picks its algorithm by batch size."""
    for module in decoder.modules():
        if isinstance(module, ColumnParallelLinear | RowParallelLinear) or module is decoder.output:
            assert isinstance(module, ShardedModule)
            module.product = DeviceWeight(format="plain", values=module.get_parameter("weight").data, in_order=True)


def _hold(module: ShardedModule, part: WeightPart, method: QuantizationMethod, *, in_order: bool, keeps: bool) -> None:
    """Quantize a module's weight. `keeps`: as a table that is looked up it stays as well."""
    weight = module.get_parameter("weight")
    held = hold_all(method, part, weight.data)
    if held is None:
        if in_order:
            module.product = DeviceWeight(format="plain", values=weight.data, in_order=True)
        return
    module.product = DeviceWeight.of(held, weight, in_order=in_order)
    if not keeps:
        weight.data = weight.new_empty(0, weight.shape[1])
