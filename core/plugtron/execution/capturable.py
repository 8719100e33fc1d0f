"""What of a decoder's steps cannot be captured as CUDA graphs."""

from __future__ import annotations

from collections.abc import Sequence

from plugtron.execution.tracing import Trace
from plugtron.execution.unsupported import Unsupported
from plugtron.nn.attention import CoreAttention

__all__ = ["check_traces"]


def check_traces(traces: Sequence[Trace]) -> None:
    """Look for what cannot be captured.

    Raises:
        Unsupported: there is something.
    """
    for each in traces:
        for node in each.graph.nodes:
            module = each.root.get_submodule(str(node.target)) if node.op == "call_module" else None
            if isinstance(module, CoreAttention):
                continue
            statics = [other for other in node.all_input_nodes if other.op == "placeholder" and other.name != "hidden"]
            if any(other.name in ("state", "memory") for other in statics):
                what = str(node.target) if module is None else type(module).__name__
                raise Unsupported(f"the step of a {what}, which attends by itself")
