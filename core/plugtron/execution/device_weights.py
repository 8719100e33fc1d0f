"""Loading a decoder's weights onto a device in the form in which they are multiplied with."""

from __future__ import annotations

from torch import nn

from plugtron.contracts.decoder import Decoder
from plugtron.contracts.execution import DecoderSource
from plugtron.execution.rounding import quantized_part, round_experts
from plugtron.execution.triton_forward import TritonForward
from plugtron.kernels.triton.device_weight import DeviceWeight
from plugtron.nn.experts import Experts
from plugtron.parallel.layers import ShardedModule, VocabParallelHead
from plugtron.quantization.method import hold_all

__all__ = ["load_quantized"]


def load_quantized(source: DecoderSource) -> TritonForward:
    """Return a decoder with the weights of linear layers and head as the run's options say.

    Quantized ones are loaded layer by layer, so that no more than one is ever there unquantized. What an embedding
    looks up stays as it is.

    Raises:
        CheckpointError: the checkpoint holds something else than this decoder.
    """
    options = source.options
    if options.quantization is None:
        whole = source.load(source.layers)
        if options.deterministic:
            _hold_in_order(_module(whole))
        return TritonForward(whole, [_module(layer) for layer in whole.layers], whole)
    source.check()
    first = last = source.load(source.layers[:1])
    layers: list[nn.Module] = []
    for layer in source.layers:
        last = first if layer == source.layers.start else source.load(range(layer, layer + 1))
        layers.append(_module(last.layers[0]))
        _hold(layers[-1], source)
    # A tied head is the embedding, of which the last layer came with a copy; where it has no other, it is looked up.
    _hold(_module(last), source, keeps_head=source.tied and last is first)
    return TritonForward(first, layers, last)


def _module(part: Decoder | object) -> nn.Module:
    assert isinstance(part, nn.Module), "decoders and layers are modules"
    return part


def _hold_in_order(decoder: nn.Module) -> None:
    """Use batch-invariant matmuls: torch picks its algorithm by batch size."""
    for module in decoder.modules():
        if quantized_part(module) is not None:
            assert isinstance(module, ShardedModule)
            module.product = DeviceWeight(format="plain", values=module.get_parameter("weight").data, in_order=True)


def _hold(root: nn.Module, source: DecoderSource, *, keeps_head: bool = False) -> None:
    """Quantize the weights of a layer's products, or of a head."""
    in_order = source.options.deterministic
    for module in root.modules():
        if isinstance(module, Experts):
            round_experts(source.options.quantization, module)  # which have no kernels for other forms yet
        part = quantized_part(module)
        if part is None or not isinstance(module, ShardedModule) or module.product is not None:
            continue
        weight = module.get_parameter("weight")
        held = hold_all(source.options.quantization, part, weight.data)
        if held is None:
            if in_order:
                module.product = DeviceWeight(format="plain", values=weight.data, in_order=True)
            continue
        module.product = DeviceWeight.of(held, weight, in_order=in_order)
        if not (keeps_head and isinstance(module, VocabParallelHead)):
            weight.data = weight.new_empty(0, weight.shape[1])
