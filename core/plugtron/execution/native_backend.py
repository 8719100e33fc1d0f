"""The native backend: a decoder's whole step as one call of compiled code, on a CPU."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch

from plugtron.contracts.decoder import Decoder
from plugtron.contracts.execution import DecoderSource, Execution, ExecutionBackend, StoredBlocks
from plugtron.errors import CheckpointError
from plugtron.execution.cache import packed_weights
from plugtron.execution.lowering import ProgramBuilder, Unsupported, check_outline
from plugtron.execution.native import NativeExecution
from plugtron.execution.packed import Packed, Store
from plugtron.kernels.native.build import NoCompiler, library
from plugtron.nn.decoder import TransformerDecoder
from plugtron.quantization.float8 import Float8Weight

__all__ = ["NativeBackend"]


class NativeBackend(ExecutionBackend):
    """Runs decoders that are made of plugtron.nn's blocks alone, on a CPU with a C++ compiler."""

    name = "native"
    deterministic: ClassVar[bool] = True

    def why_not(self, source: DecoderSource) -> str:
        """Say why this rank's share cannot run natively; compiles the kernels where it can."""
        try:
            _check(source)
            library()
        except (Unsupported, NoCompiler) as reason:
            return str(reason)
        return ""

    def load(self, source: DecoderSource) -> Execution:
        """Map the packed weights, or pack them."""
        runtime, layers = source.runtime, source.layers
        exact = source.over(replace(runtime, dtype=torch.float32))
        packed = packed_weights(source, lambda store: _pack(exact, runtime.dtype, store))
        rest = _known(exact.build(range(layers.start, layers.start)))
        for name, parameter in rest.named_parameters():
            parameter.data = packed.tensors[packed.parameters[name]]
        last = layers.stop == source.num_layers
        vocabulary = source.info.padded_vocab_size // runtime.tensor.size if last else None
        return NativeExecution(
            rest, packed, runtime.tensor, vocabulary=vocabulary, kernels=library(), threads=runtime.threads
        )


def _check(source: DecoderSource) -> None:
    runtime, options = source.runtime, source.options
    if runtime.device.type != "cpu":
        raise Unsupported(f"the native kernels run on a CPU, not on {runtime.device.type}")
    if options.quantization is not None and Float8Weight in options.quantization.forms:
        raise Unsupported(f"weights in {options.quantization.name}")
    if options.attention is not None:
        raise Unsupported("an attention that is named, which torch steps alone use")
    kv_dtype = options.kv_dtype or runtime.dtype
    if kv_dtype not in (torch.float32, torch.bfloat16):
        raise Unsupported(f"keys and values in {str(kv_dtype).removeprefix('torch.')}")
    check_outline(source)


def _pack(exact: DecoderSource, dtype: torch.dtype, store: Store) -> Packed:
    """Lower a decoder layer by layer, so that no more than one is ever there in float32.

    Raises:
        CheckpointError: the checkpoint holds something else than this decoder, or no blocks where they are wanted.
    """
    exact.check()
    method = exact.options.quantization
    reads_stored = method is not None and method.reads_stored
    blocks: StoredBlocks = {}
    found = False
    program = ProgramBuilder(store, exact.runtime.tensor, quantization=method, dtype=dtype, blocks=blocks)
    for number, layer in enumerate(exact.layers):
        decoder = _known(exact.load(range(layer, layer + 1), blocks if reads_stored else None))
        found = found or bool(blocks)
        program.add_layer(decoder.layers[0], number)
        if layer + 1 == exact.num_layers:
            program.add_head(decoder)
        blocks.clear()
    if method is not None and reads_stored and not found:
        raise CheckpointError(
            f"model.quantization {method.name}: {exact.checkpoint.path} holds no quantized blocks that can be used as "
            "they are (accepted here: int8, int4, null)"
        )
    first = exact.layers.start
    embedding = _known(exact.load(range(first, first)))
    return program.finish({name: value.data.to(dtype) for name, value in embedding.named_parameters()})


def _known(decoder: Decoder) -> TransformerDecoder:
    assert isinstance(decoder, TransformerDecoder), "the whole of it has been checked"
    return decoder
