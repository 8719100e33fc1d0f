"""Which execution runs a decoder's steps: chosen once, when the weights are loaded."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from plugtron.checkpoint.loader import Blocks
from plugtron.contracts.quantised import GROUP, QuantisedWeight
from plugtron.contracts.step import StepBatch
from plugtron.contracts.wrapper import Decoder
from plugtron.errors import CheckpointError
from plugtron.execution.eager import EagerExecution
from plugtron.execution.lowering import Listing, NotNative
from plugtron.execution.native import NativeExecution
from plugtron.kernels.native.build import NoCompiler, library
from plugtron.nn.decoder import TransformerDecoder
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear
from plugtron.spec.model import Quantization

if TYPE_CHECKING:
    from plugtron.nn.wrapper import DecoderWrapper

__all__ = ["Execution", "make_execution"]

#: Of the layers' weights where they are quantised here; `native` weights are so already.
_BITS: Mapping[Quantization | None, int] = {"int4": 4, "int8": 8}


class Execution(Protocol):
    """Runs steps over a decoder, or over a pipeline stage's share of one."""

    def run(self, batch: StepBatch, hidden: Tensor | None = None) -> Tensor:
        """Return this rank's logits [N, V / tp] in float32; before the last stage hidden states [T, H]."""
        ...


def make_execution(wrapper: DecoderWrapper, max_length: int) -> Execution:
    """Load a wrapper's weights and say how they are run, over sequences of at most `max_length` tokens.

    Quantised weights run natively on a CPU; where that cannot be, torch computes with what they stand for, which is
    said once.
    """
    quantization = wrapper.runtime.quantization
    if quantization is not None:
        try:
            return _native(wrapper, quantization, max_length)
        except (NotNative, NoCompiler) as reason:
            warnings.warn(f"quantization {quantization} runs through torch, and slowly: {reason}", stacklevel=2)
    decoder = wrapper.load(wrapper.layers)
    if quantization in _BITS:
        _quantise_in_place(decoder, _BITS[quantization])
    return EagerExecution(decoder, last=wrapper.layers.stop == wrapper.config.num_layers)


def _native(wrapper: DecoderWrapper, quantization: Quantization, max_length: int) -> NativeExecution:
    """Lower a decoder layer by layer, so that no more than one is ever there in float32.

    Raises:
        NotNative, NoCompiler: it cannot be done, or not here.
        CheckpointError: blocks are wanted of a checkpoint that has none.
    """
    runtime = wrapper.runtime
    if runtime.device.type != "cpu":
        raise NotNative(f"the native kernels run on a CPU, not on {runtime.device.type}")
    if runtime.dtype not in (torch.float32, torch.bfloat16):
        raise NotNative(f"keys and values in {str(runtime.dtype).removeprefix('torch.')}")
    if runtime.model.size > 1:
        raise NotNative("the native step runs on one rank")
    kernels = library()  # before the weights are read: without a compiler they are read for something else
    exact = copy.copy(wrapper)
    exact.runtime = replace(runtime, dtype=torch.float32)
    blocks: Blocks = {}
    listing = Listing(bits=_BITS.get(quantization), blocks=blocks)
    last = wrapper.layers.stop - 1
    for layer in wrapper.layers:
        decoder = _load(exact, range(layer, layer + 1), blocks if quantization == "native" else None)
        if quantization == "native" and not blocks:
            raise CheckpointError(
                f"model.quantization native: {wrapper.checkpoint.path} holds no quantised blocks that can be used as "
                "they are (accepted here: int8, int4, null)"
            )
        listing.add_layer(decoder.layers[0], layer)
        if layer == last:
            listing.add_head(decoder)
        blocks.clear()
    # The embedding alone, in the run's own dtype, and an exact rotation.
    rest = _load(exact, range(0))
    assert rest.embedding is not None
    rest.embedding.weight.data = rest.embedding.weight.data.to(runtime.dtype)
    vocabulary = wrapper.info.padded_vocab_size
    return NativeExecution(rest, listing, vocabulary=vocabulary, max_length=max_length, kernels=kernels)


def _load(wrapper: DecoderWrapper, layers: range, blocks: Blocks | None = None) -> TransformerDecoder:
    decoder = wrapper.load(layers, blocks)
    if not isinstance(decoder, TransformerDecoder):
        raise NotNative(f"the native step does not know a {type(decoder).__name__}")
    return decoder


def _quantise_in_place(decoder: Decoder, bits: int) -> None:
    """Replace the weights of linear layers by what they are after quantising."""
    assert isinstance(decoder, torch.nn.Module)
    for module in decoder.modules():
        if isinstance(module, ColumnParallelLinear | RowParallelLinear) and module.weight.shape[1] % GROUP == 0:
            module.weight.data = QuantisedWeight.of(module.weight, bits).dense().to(module.weight.dtype)
