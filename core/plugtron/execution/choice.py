"""Which execution runs a decoder's steps: chosen once, when the weights are loaded."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from plugtron.checkpoint.loader import Blocks
from plugtron.contracts.context import InferenceContext
from plugtron.contracts.step import StepBatch
from plugtron.contracts.wrapper import Decoder
from plugtron.errors import CheckpointError, PlugtronError
from plugtron.execution.cache import packed_weights
from plugtron.execution.eager import EagerExecution
from plugtron.execution.lowering import ProgramBuilder, Unsupported, check_decoder
from plugtron.execution.native import NativeExecution
from plugtron.execution.packed import Packed, Store
from plugtron.execution.source import DecoderSource
from plugtron.kernels.native.build import NoCompiler, library
from plugtron.kernels.triton_here import why_no_triton
from plugtron.nn.decoder import TransformerDecoder
from plugtron.parallel.choices import Quantization
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear
from plugtron.quantization.float8 import FLOAT8, quantize_rows
from plugtron.quantization.policy import Form, form_of
from plugtron.quantization.weight import QuantizedWeight

__all__ = ["Choice", "Execution", "choose", "make_execution"]

#: Of the first GPUs that know eight bits in floating point.
_FLOAT8_CAPABILITY = (8, 9)


class Execution(Protocol):
    """Runs steps over a decoder, or over a pipeline stage's share of one."""

    @property
    def hidden_dtype(self) -> torch.dtype:
        """What hidden states are handed on in from stage to stage."""
        ...

    @property
    def weight_bytes(self) -> int:
        """How many bytes of weights a step reads, whatever its rows."""
        ...

    @property
    def layer_weights(self) -> int:
        """How many weights each token is multiplied with, the head's aside."""
        ...

    def peak_activation_bytes(self, rows: int, tokens: int, longest: int) -> int | None:
        """What steps of so many rows and tokens work in, besides weights and KV memory, in bytes; None: not known.

        `longest`: what a sequence may come to.
        """
        ...

    def prepare(self, context: InferenceContext) -> None:
        """Be ready for steps over a context; what has been prepared before may be used again."""
        ...

    def run(self, batch: StepBatch, hidden: Tensor | None = None) -> Tensor:
        """Return this rank's logits [N, V / tp] in float32; before the last stage hidden states [T, H]."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What runs a decoder's steps on all ranks: native kernels, captured graphs, or torch, and why."""

    kernels: Path | None = None
    graph: bool = False
    reason: str = ""


def choose(source: DecoderSource) -> Choice:
    """Look for what runs a decoder's steps, and agree on it: all ranks call this together.

    On a CPU the step is native, on a GPU captured. Where that cannot be, on any rank, torch computes it on all of them.

    Raises:
        PlugtronError: a native or a captured step is asked for, or equal bits in all of them, and cannot be.
    """
    runtime = source.runtime
    own = runtime.model.run_on_all_ranks(lambda: _find(source))
    reasons = [reason for reason in runtime.model.all_gather_json(own.reason) if reason]
    if not reasons:
        return own
    if runtime.execution in ("native", "graph"):
        raise PlugtronError(f"execution {runtime.execution}: {reasons[0]} (accepted here: auto, eager)")
    if runtime.deterministic:
        raise PlugtronError(
            f"deterministic: torch's sums depend on what else is in a step, and it would run this one ({reasons[0]})"
        )
    return Choice(reason=reasons[0])


def make_execution(source: DecoderSource, choice: Choice) -> Execution:
    """Load a decoder's weights to be run as chosen; what steps are over, `prepare` says.

    Warns once when it falls back to eager.
    """
    if choice.kernels is not None:
        return _native(source, choice.kernels)
    if choice.graph:
        return _graph(source)
    runtime = source.runtime
    if runtime.execution == "auto":
        what = f"quantization {runtime.quantization}" if runtime.quantization else "the step"
        warnings.warn(f"{what} runs through torch, and slowly: {choice.reason}", stacklevel=2)
    decoder = source.load(source.layers)
    _quantize_in_place(decoder, runtime.quantization)
    return EagerExecution(decoder, last=source.layers.stop == source.config.num_layers, dtype=runtime.dtype)


def _find(source: DecoderSource) -> Choice:
    runtime = source.runtime
    if runtime.execution == "eager":
        return Choice(reason="execution eager is asked for")
    try:
        if runtime.execution == "graph" or (runtime.execution == "auto" and runtime.device.type == "cuda"):
            _check_graph(source)
            return Choice(graph=True)
        return Choice(kernels=_kernels(source))
    except (Unsupported, NoCompiler) as reason:
        return Choice(reason=str(reason))


def _check_graph(source: DecoderSource) -> None:
    """See whether decode steps can go through Triton's kernels, captured.

    Raises:
        Unsupported: they cannot.
    """
    runtime = source.runtime
    if runtime.device.type == "cpu":
        # Imported here: a run on a CPU goes without Triton.
        from plugtron.kernels.triton.launch import INTERPRETED

        if not INTERPRETED:
            raise Unsupported("graphs are captured on a GPU, not on cpu (TRITON_INTERPRET=1: for tests)")
    elif (lack := why_no_triton(runtime.device)) is not None:
        raise Unsupported(lack)
    if runtime.pipeline.size > 1:
        raise Unsupported("pipeline stages")
    if runtime.quantization == "as_stored":
        raise Unsupported("quantized blocks as they are in a file")
    if (runtime.quantization == "fp8" or runtime.kv_dtype == FLOAT8) and runtime.device.type == "cuda":
        capability = torch.cuda.get_device_capability(runtime.device)
        if capability < _FLOAT8_CAPABILITY:
            raise Unsupported("fp8 on a GPU of compute capability {}.{}".format(*capability))
    _check_blocks(source)


def _kernels(source: DecoderSource) -> Path:
    """What runs this rank's share of a decoder natively.

    Raises:
        Unsupported, NoCompiler: it cannot be done, or not here.
    """
    runtime = source.runtime
    if runtime.device.type != "cpu":
        raise Unsupported(f"the native kernels run on a CPU, not on {runtime.device.type}")
    if runtime.quantization == "fp8":
        raise Unsupported("weights in fp8")
    if runtime.kv_dtype not in (torch.float32, torch.bfloat16):
        raise Unsupported(f"keys and values in {str(runtime.kv_dtype).removeprefix('torch.')}")
    _check_blocks(source)
    return library()


def _check_blocks(source: DecoderSource) -> None:
    """See whether all that a decoder is made of is known.

    Raises:
        Unsupported: something is not.
    """
    decoder = source.outline()
    if not isinstance(decoder, TransformerDecoder):
        raise Unsupported(f"the step of a {type(decoder).__name__}")
    check_decoder(decoder)


def _graph(source: DecoderSource) -> Execution:
    from plugtron.execution.device_weights import load_quantized
    from plugtron.execution.graph import GraphExecution
    from plugtron.kernels.triton.launch import INTERPRETED

    runtime = source.runtime
    captures = runtime.device.type == "cuda" and runtime.tensor.stays_on_device and not INTERPRETED
    return GraphExecution(
        load_quantized(source),
        dtype=runtime.dtype,
        captures=captures,
        in_order=runtime.deterministic,
        group=runtime.tensor,
        kv_dtype=runtime.kv_dtype,
    )


def _native(source: DecoderSource, kernels: Path) -> NativeExecution:
    runtime, layers = source.runtime, source.layers
    exact = source.over(replace(runtime, dtype=torch.float32))
    packed = packed_weights(source, lambda store: _pack(exact, runtime.dtype, store))
    rest = _known(exact.build(range(layers.start, layers.start)))
    for name, parameter in rest.named_parameters():
        parameter.data = packed.tensors[packed.parameters[name]]
    last = layers.stop == source.config.num_layers
    vocabulary = source.info.padded_vocab_size // runtime.tensor.size if last else None
    return NativeExecution(
        rest, packed, runtime.tensor, vocabulary=vocabulary, kernels=kernels, threads=runtime.threads
    )


def _pack(exact: DecoderSource, dtype: torch.dtype, store: Store) -> Packed:
    """Lower a decoder layer by layer, so that no more than one is ever there in float32.

    Raises:
        CheckpointError: the checkpoint holds something else than this decoder, or no blocks where they are wanted.
    """
    exact.check()
    quantization = exact.runtime.quantization
    blocks: Blocks = {}
    found = False
    listing = ProgramBuilder(store, exact.runtime.tensor, quantization=quantization, dtype=dtype, blocks=blocks)
    for number, layer in enumerate(exact.layers):
        decoder = _known(exact.load(range(layer, layer + 1), blocks if quantization == "as_stored" else None))
        found = found or bool(blocks)
        listing.add_layer(decoder.layers[0], number)
        if layer + 1 == exact.config.num_layers:
            listing.add_head(decoder)
        blocks.clear()
    if quantization == "as_stored" and not found:
        raise CheckpointError(
            f"model.quantization as_stored: {exact.checkpoint.path} holds no quantized blocks that can be used as "
            "they are (accepted here: int8, int4, null)"
        )
    first = exact.layers.start
    embedding = _known(exact.load(range(first, first)))
    return listing.finish({name: value.data.to(dtype) for name, value in embedding.named_parameters()})


def _known(decoder: Decoder) -> TransformerDecoder:
    assert isinstance(decoder, TransformerDecoder), "the whole of it has been checked"
    return decoder


def _quantize_in_place(decoder: Decoder, quantization: Quantization | None) -> None:
    """Replace the weights of linear layers and head by what they are after quantizing."""
    assert isinstance(decoder, torch.nn.Module)
    if isinstance(decoder, TransformerDecoder) and decoder.output is not None:
        form = form_of("head", quantization, decoder.output.weight.shape[1])
        if form is not None:
            # A tied head is the embedding, and what that looks up stays as it is.
            head = copy.deepcopy(decoder.output)
            head.weight.data = _rounded(head.weight.data, form)
            decoder.output = head
    for module in decoder.modules():
        if isinstance(module, ColumnParallelLinear | RowParallelLinear):
            form = form_of("layer", quantization, module.weight.shape[1])
            if form is not None:
                module.weight.data = _rounded(module.weight.data, form)


def _rounded(weight: Tensor, form: Form) -> Tensor:
    if form == "fp8":
        values, scales = quantize_rows(weight)
        return (values.float() * scales).to(weight.dtype)
    return QuantizedWeight.of(weight, form).dense().to(weight.dtype)
