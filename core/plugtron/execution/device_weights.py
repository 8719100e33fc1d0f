"""Loading a decoder's weights onto a device in quantised form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

from plugtron.contracts.quantised import GROUP, QuantisedWeight
from plugtron.kernels.triton.quantised_linear import DeviceWeight
from plugtron.nn.decoder import TransformerDecoder
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear, ShardedModule

if TYPE_CHECKING:
    from plugtron.nn.wrapper import DecoderWrapper

__all__ = ["load_quantised"]


def load_quantised(wrapper: DecoderWrapper, bits: int) -> TransformerDecoder:
    """Return a wrapper's decoder with quantised weights in its linear layers, of 8 bits in its head.

    It is loaded layer by layer, so that no more than one is ever there unquantised. What an embedding looks up stays as
    it is, and so do weights whose inputs make no whole groups.

    Raises:
        CheckpointError: the checkpoint holds something else than this decoder.
    """
    wrapper.check()
    decoders = [_load(wrapper, layer, bits) for layer in wrapper.layers]
    whole, last = decoders[0], decoders[-1]
    whole.stack = nn.ModuleList(decoder.layers[0] for decoder in decoders)
    whole.final_norm = last.final_norm
    # A tied head is the embedding, of which the last layer came with a copy.
    whole.output = whole.embedding if wrapper.config.tied else last.output
    del decoders, last
    assert whole.output is not None
    _hold(whole.output, 8, keeps=whole.output is whole.embedding)
    return whole


def _load(wrapper: DecoderWrapper, layer: int, bits: int) -> TransformerDecoder:
    decoder = wrapper.load(range(layer, layer + 1))
    assert isinstance(decoder, TransformerDecoder), "the whole of it has been checked"
    for module in decoder.stack.modules():
        if isinstance(module, ColumnParallelLinear | RowParallelLinear):
            _hold(module, bits, keeps=False)
    return decoder


def _hold(module: ShardedModule, bits: int, *, keeps: bool) -> None:
    """Quantise a module's weight. `keeps`: as a table that is looked up it stays as well."""
    weight = module.get_parameter("weight")
    if weight.shape[1] % GROUP:
        return
    module.product = DeviceWeight.of(QuantisedWeight.of(weight, bits), weight.device)
    if not keeps:
        weight.data = weight.new_empty(0, weight.shape[1])
