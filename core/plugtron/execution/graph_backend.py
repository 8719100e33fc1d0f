"""The graph backend: a decoder's steps through Triton's kernels, captured as CUDA graphs."""

from __future__ import annotations

from typing import ClassVar

import torch

from plugtron.checkpoint.mxfp4 import MXFP4
from plugtron.contracts.execution import DecoderSource, Execution, ExecutionBackend
from plugtron.execution.capturable import check_traces
from plugtron.execution.tracing import trace
from plugtron.execution.unsupported import Unsupported
from plugtron.kernels.triton_here import why_no_triton
from plugtron.quantization.float8 import FLOAT8, Float8Weight
from plugtron.quantization.method import has_own_forms

__all__ = ["GraphBackend"]

#: Of the first GPUs that know eight bits in floating point.
_FLOAT8_CAPABILITY = (8, 9)


class GraphBackend(ExecutionBackend):
    """Runs decoders that are made of plugtron.nn's blocks alone, on a CUDA device."""

    name = "graph"
    deterministic: ClassVar[bool] = True

    def why_not(self, source: DecoderSource) -> str:
        """Say why steps cannot go through the kernels."""
        try:
            _check(source)
        except Unsupported as reason:
            return str(reason)
        return ""

    def load(self, source: DecoderSource) -> Execution:
        """Load the weights in the form in which the kernels read them."""
        # Imported here: a run on a CPU goes without Triton.
        from plugtron.execution.device_weights import load_quantized
        from plugtron.execution.graph import GraphExecution
        from plugtron.kernels.triton.launch import INTERPRETED

        runtime = source.runtime
        captures = runtime.device.type == "cuda" and runtime.tensor.stays_on_device and not INTERPRETED
        return GraphExecution(
            load_quantized(source),
            dtype=runtime.dtype,
            captures=captures,
            in_order=source.options.deterministic,
            group=runtime.tensor,
            kv_dtype=source.options.kv_dtype or runtime.dtype,
        )


def _check(source: DecoderSource) -> None:
    runtime, options = source.runtime, source.options
    if runtime.device.type == "cpu":
        from plugtron.kernels.triton.launch import INTERPRETED

        if not INTERPRETED:
            raise Unsupported("graphs are captured on a GPU, not on cpu (TRITON_INTERPRET=1: for tests)")
    elif (lack := why_no_triton(runtime.device)) is not None:
        raise Unsupported(lack)
    if runtime.pipeline.size > 1:
        raise Unsupported("pipeline stages")
    method, stored = options.quantization, source.checkpoint.tensors
    if method is not None and method.reads_stored and MXFP4 not in {info.dtype for info in stored.values()}:
        raise Unsupported("quantized blocks as they are in a file")
    if has_own_forms(options.quantization):
        raise Unsupported("weights in a form of its own, which torch steps alone multiply with")
    if options.attention is not None:
        raise Unsupported("an attention that is named, which torch steps alone use")
    if options.kv_dtype == torch.int8:
        raise Unsupported("keys and values in int8")
    float8 = options.kv_dtype == FLOAT8 or (
        options.quantization is not None and Float8Weight in options.quantization.forms
    )
    if float8 and runtime.device.type == "cuda":
        capability = torch.cuda.get_device_capability(runtime.device)
        if capability < _FLOAT8_CAPABILITY:
            raise Unsupported("fp8 on a GPU of compute capability {}.{}".format(*capability))
    decoder = source.outline()
    check_traces(trace(decoder.layers, decoder), in_order=options.deterministic)
