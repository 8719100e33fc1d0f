"""The native backend: a decoder's whole step as one call of compiled code, on a CPU."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import nn

from plugtron.contracts.execution import DecoderSource, Execution, ExecutionBackend, StoredBlocks
from plugtron.errors import CheckpointError, PlugtronError
from plugtron.execution.cache import packed_weights
from plugtron.execution.final_states import FinalStates, why_no_final_states
from plugtron.execution.lowering.plan import Plan, make_plan
from plugtron.execution.lowering.read import read
from plugtron.execution.lowering.sample import SampleStep
from plugtron.execution.lowering.torch_step import piece_name
from plugtron.execution.lowering.weights import WeightPacker
from plugtron.execution.lowering.write import ProgramWriter
from plugtron.execution.native import KV_DTYPES, NativeExecution
from plugtron.execution.native_cuts import Cuts
from plugtron.execution.packed import Packed, Store
from plugtron.execution.stored import dense_stretches
from plugtron.execution.tracing import HEAD, trace
from plugtron.execution.unsupported import Unsupported
from plugtron.kernels.native.build import NoCompiler, library
from plugtron.kernels.native.sources import functions_of
from plugtron.quantization.float8 import Float8Weight
from plugtron.quantization.method import has_own_forms
from plugtron.utils.free_memory import release_memory
from plugtron.utils.threads import one_thread

__all__ = ["NativeBackend"]


class NativeBackend(ExecutionBackend):
    """Runs decoders on a CPU with a C++ compiler; what the kernels do not know of one runs through torch."""

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
        plans: list[Plan] = []  # what it was packed with, if it has just been packed

        def pack(store: Store) -> Packed:
            exact.check()
            plans.append(_plan(exact))
            with one_thread():
                return _pack(exact, plans[-1], runtime.dtype, store)

        packed = packed_weights(source, pack)
        if plans:
            release_memory(runtime.device)
        plan = None
        if packed.program.cuts:
            plan = plans[-1] if plans else _plan(exact)
            if source.options.deterministic:
                pieces = ", ".join(dict.fromkeys(map(piece_name, plan.cuts)))
                raise PlugtronError(
                    "deterministic: torch's sums depend on what else is in a step, and it would run pieces of this one "
                    f"({pieces})"
                )
            _fill(plan, packed)
        final = _final(exact)
        if final is not None:
            final.fill({name: packed.tensors[number] for name, number in packed.parameters.items()})
        rest = _module(exact.build(range(layers.start, layers.start)))
        for name, parameter in rest.named_parameters():
            parameter.data = packed.tensors[packed.parameters[name]]
        sources = {int(number): source for number, source in packed.program.sources.items()}
        return NativeExecution(
            rest,
            packed,
            Cuts(plan, rest),
            runtime.tensor,
            final=final,
            kernels=library(),
            functions=functions_of(sources),
            threads=runtime.threads,
        )


def _check(source: DecoderSource) -> None:
    runtime, options = source.runtime, source.options
    if runtime.device.type != "cpu":
        raise Unsupported(f"the native kernels run on a CPU, not on {runtime.device.type}")
    if options.quantization is not None and Float8Weight in options.quantization.forms:
        raise Unsupported(f"weights in {options.quantization.name}")
    if has_own_forms(options.quantization):
        raise Unsupported("weights in a form of its own, which torch steps alone multiply with")
    if options.attention is not None:
        raise Unsupported("an attention that is named, which torch steps alone use")
    kv_dtype = options.kv_dtype or runtime.dtype
    if kv_dtype not in KV_DTYPES:
        raise Unsupported(f"keys and values in {str(kv_dtype).removeprefix('torch.')}")


def _plan(exact: DecoderSource) -> Plan:
    """How this rank's share of a decoder is computed, from its code."""
    decoder = exact.build(exact.layers)
    traces = trace(decoder.layers, decoder if exact.layers.stop == exact.num_layers else None)
    return make_plan(read(traces, exact.info.hidden_size, SampleStep(exact.info.states, decoder)))


def _final(exact: DecoderSource) -> FinalStates | None:
    """How this rank's share of a decoder makes final hidden states; None: it has no head, or does not say."""
    decoder = exact.build(range(exact.num_layers, exact.num_layers))
    if exact.layers.stop < exact.num_layers or why_no_final_states(decoder):
        return None
    return FinalStates(decoder, exact.info.hidden_size)


def _pack(exact: DecoderSource, plan: Plan, dtype: torch.dtype, store: Store) -> Packed:
    """Write a decoder's program layer by layer, so that no more than two are ever there in float32.

    Raises:
        CheckpointError: the checkpoint holds no blocks where they are wanted.
    """
    method = exact.options.quantization
    reads_stored = method is not None and method.reads_stored
    blocks: StoredBlocks = {}
    found, final = False, _final(exact)
    packer = WeightPacker(store, quantization=method, dtype=dtype, blocks=blocks)
    writer = ProgramWriter(plan, packer, exact.runtime.tensor)
    kept = dict[str, int]()
    for number, (layer, decoder, own) in enumerate(_loaded_ahead(exact, reads_stored=reads_stored)):
        blocks.update(own)
        own.clear()
        found = found or bool(blocks)
        if number == 0:
            kept = _keep_embedding(exact, decoder, blocks, dtype, store)
        parts = [(number, _module(decoder.layers[0]))]
        if layer + 1 == exact.num_layers:
            parts.append((HEAD, decoder))
            if final is not None:
                writer.parameters |= final.parameters(decoder, packer.as_torch_has_it)
        for part, root in parts:
            writer.take(part, root)
        blocks.clear()
    if method is not None and reads_stored and not found:
        raise CheckpointError(
            f"model.quantization {method.name}: {exact.checkpoint.path} holds no quantized blocks that can be used as "
            "they are (accepted here: int8, int4, null)"
        )
    others = writer.parameters.items()
    kept |= {name: store.add(tensor.dtype, tuple(tensor.shape), [tensor]) for name, tensor in others}
    return store.finish(writer.finish(), kept)


def _loaded_ahead(exact: DecoderSource, *, reads_stored: bool) -> Iterator[tuple[int, Any, StoredBlocks]]:
    """Each layer with its decoder and blocks; the next is read while one is packed."""

    def load(layer: int) -> tuple[int, Any, StoredBlocks]:
        blocks: StoredBlocks = {}
        return layer, _module(exact.load(range(layer, layer + 1), blocks if reads_stored else None)), blocks

    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(load, exact.layers[0])
        for layer in exact.layers[1:]:
            loaded = ahead.result()
            ahead = reader.submit(load, layer)
            yield loaded
        yield ahead.result()


def _keep_embedding(
    exact: DecoderSource, decoder: nn.Module, blocks: StoredBlocks, dtype: torch.dtype, store: Store
) -> dict[str, int]:
    """Keep what a decoder with the first layers has before them; return the numbers by name."""
    first, kept = exact.layers.start, dict[str, int]()
    for name, _ in _module(exact.build(range(first, first))).named_parameters():
        parameter = decoder.get_parameter(name)
        kept[name] = store.add(dtype, tuple(parameter.shape), dense_stretches(blocks, parameter))
    return kept


def _fill(plan: Plan, packed: Packed) -> None:
    """Give what runs through torch its parameters."""
    for call in plan.cuts:
        prefix = f"cut.{call.part}."
        for name, parameter in call.root.named_parameters():
            if prefix + name in packed.parameters:
                parameter.data = packed.tensors[packed.parameters[prefix + name]]


def _module(decoder: object) -> Any:
    """A decoder, which is a module too."""
    assert isinstance(decoder, nn.Module), "the checkpoint's loader has seen that"
    return decoder
