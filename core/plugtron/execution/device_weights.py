"""Loading a decoder's weights onto a device in the form in which they are multiplied with."""

from __future__ import annotations

from torch import nn

from plugtron.contracts.decoder import Decoder
from plugtron.contracts.execution import DecoderSource, StoredBlocks
from plugtron.execution.rounding import quantized_part, round_experts
from plugtron.execution.stored import dense_blocks, expert_blocks
from plugtron.execution.tracing import block_of
from plugtron.execution.triton_forward import TritonForward
from plugtron.kernels.triton.device_weight import DeviceWeight
from plugtron.kernels.triton.expert_weights import ExpertWeights
from plugtron.nn.experts import Experts
from plugtron.parallel.layers import ShardedModule, VocabParallelHead
from plugtron.quantization.method import HeldWeight, QuantizationMethod, hold_all
from plugtron.quantization.weight import QuantizedWeight

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
    first, blocks = _load(source, source.layers[:1])
    last, layers = first, list[nn.Module]()
    for layer in source.layers:
        if layer > source.layers.start:
            last, blocks = _load(source, range(layer, layer + 1))
        layers.append(_module(last.layers[0]))
        _hold(layers[-1], source, blocks)
    # A tied head is the embedding, of which the last layer came with a copy; where it has no other, it is looked up.
    _hold(_module(last), source, {}, keeps_head=source.tied and last is first)
    return TritonForward(first, layers, last)


def _load(source: DecoderSource, layers: range) -> tuple[Decoder, StoredBlocks]:
    """Load some layers, and what experts there are in blocks of MXFP4, for which alone there are kernels."""
    method, blocks = source.options.quantization, dict[nn.Parameter, tuple[QuantizedWeight, ...]]()
    decoder = source.load(layers, blocks if method is not None and method.reads_stored else None)
    experts = [module for module in _module(decoder).modules() if block_of(module) is Experts]
    kept = {parameter for module in experts for parameter in module.parameters(recurse=False)}
    kept = {each for each in kept if all(own.is_mxfp4 for own in blocks.get(each, ()))}
    for parameter in [parameter for parameter in blocks if parameter not in kept]:
        parameter.data.copy_(dense_blocks(blocks, parameter))
        del blocks[parameter]
    return decoder, blocks


def _module(part: Decoder | object) -> nn.Module:
    assert isinstance(part, nn.Module), "decoders and layers are modules"
    return part


def _hold_in_order(decoder: nn.Module) -> None:
    """Use batch-invariant matmuls: torch picks its algorithm by batch size."""
    for module in decoder.modules():
        if quantized_part(module) is not None:
            assert isinstance(module, ShardedModule)
            module.product = DeviceWeight(format="plain", values=module.get_parameter("weight").data, in_order=True)


def _hold(root: nn.Module, source: DecoderSource, blocks: StoredBlocks, *, keeps_head: bool = False) -> None:
    """Quantize the weights of a layer's products, or of a head."""
    in_order, method = source.options.deterministic, source.options.quantization
    for module in root.modules():
        if isinstance(module, Experts) and not module.products:
            _hold_experts(module, method, blocks)
        part = quantized_part(module)
        if part is None or not isinstance(module, ShardedModule) or module.product is not None:
            continue
        weight = module.get_parameter("weight")
        held = hold_all(method, part, weight.data)
        if held is None:
            if in_order:
                module.product = DeviceWeight(format="plain", values=weight.data, in_order=True)
            continue
        module.product = DeviceWeight.of(held, weight, in_order=in_order)
        if not (keeps_head and isinstance(module, VocabParallelHead)):
            weight.data = weight.new_empty(0, weight.shape[1])


def _hold_experts(experts: Experts, method: QuantizationMethod | None, blocks: StoredBlocks) -> None:
    """Quantize the weights of a mixture's experts, or take them as they are stored."""
    if block_of(experts) is not Experts:  # code of its own, which reads them as numbers
        return round_experts(method, experts)
    for name in ("into", "down"):
        weights = experts.get_parameter(name)
        each: list[HeldWeight | None] = [QuantizedWeight.stacked(parts) for parts in expert_blocks(blocks, weights)]
        each = each or [hold_all(method, "layer", weight) for weight in weights.data]
        held = [own for own in each if own is not None]
        if held:
            experts.products[name] = ExpertWeights.of(held, weights)
            weights.data = weights.new_empty(len(weights), 0, weights.shape[2])
    return None
