"""What of a decoder's steps cannot be captured as CUDA graphs."""

from __future__ import annotations

from collections.abc import Sequence

from torch import fx, nn

from plugtron.execution.lowering.row_functions import function_name
from plugtron.execution.tracing import Trace, block_of
from plugtron.execution.unsupported import Unsupported
from plugtron.nn.activations import Activation
from plugtron.nn.attention import CoreAttention
from plugtron.nn.norms import Norm
from plugtron.parallel.layers import ColumnParallelLinear, RowParallelLinear, VocabParallelHead

__all__ = ["check_traces"]


#: Blocks with kernels whose sums have one order, whatever else is in a step.
_IN_ORDER = (CoreAttention, Norm, ColumnParallelLinear, RowParallelLinear, VocabParallelHead, Activation)


def check_traces(traces: Sequence[Trace], *, in_order: bool = False) -> None:
    """Look for what cannot be captured.

    Args:
        in_order: a token's bits must not depend on what else is in a step.

    Raises:
        Unsupported: there is something.
    """
    for each in traces:
        for node in each.graph.nodes:
            module = each.root.get_submodule(str(node.target)) if node.op == "call_module" else None
            if in_order and not _is_in_order(node, module):
                what = str(node.target) if module is None else type(module).__name__
                raise Unsupported(f"equal bits of a {what}, whose sums are torch's")
            if isinstance(module, CoreAttention):
                continue
            statics = [other for other in node.all_input_nodes if other.op == "placeholder" and other.name != "hidden"]
            if any(other.name in ("state", "memory") for other in statics):
                what = str(node.target) if module is None else type(module).__name__
                raise Unsupported(f"the step of a {what}, which computes attention with code of its own")


def _is_in_order(node: fx.Node, module: nn.Module | None) -> bool:
    """Whether a node has no sums, or sums in one order."""
    if node.op == "call_module":
        return module is not None and isinstance(module, _IN_ORDER) and block_of(module) is not None
    known = node.target is getattr or function_name(node) != ""
    return known or node.op not in ("call_function", "call_method")
