"""What makes plugtron's own executions and attention from a spec."""

from __future__ import annotations

from plugtron.contracts.parts import Parts
from plugtron.execution.eager_backend import EagerBackend
from plugtron.execution.graph_backend import GraphBackend
from plugtron.execution.native_backend import NativeBackend
from plugtron.kernels.attention import TorchAttention
from plugtron.plugin.options import Options

__all__ = ["eager", "graph", "native", "torch_attention"]


def native(parts: Parts, options: Options) -> NativeBackend:
    """The native execution."""
    del parts, options
    return NativeBackend()


def graph(parts: Parts, options: Options) -> GraphBackend:
    """The graph execution."""
    del parts, options
    return GraphBackend()


def eager(parts: Parts, options: Options) -> EagerBackend:
    """The eager execution."""
    del parts, options
    return EagerBackend()


def torch_attention(parts: Parts, options: Options) -> TorchAttention:
    """Attention in torch."""
    del parts, options
    return TorchAttention()
