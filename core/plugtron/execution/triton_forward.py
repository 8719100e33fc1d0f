"""A decoder's step over Triton kernels: the graph of what it computes, with kernels in the places of its parts."""

from __future__ import annotations

import operator
from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn

from plugtron.contracts.decoder import Decoder
from plugtron.contracts.memory import LayerState
from plugtron.execution.step_inputs import StepInputs
from plugtron.execution.tracing import HEAD, Trace, trace
from plugtron.execution.triton_rewrites import with_kernels
from plugtron.nn.attention import AttentionShape, CoreAttention

__all__ = ["TritonForward"]


class TritonForward:
    """Runs the layers of a decoder, and its head, in steps of kernels that can be captured.

    Args:
        first: for the embedding and the rotation.
        layers: in order.
        last: for the head.
    """

    def __init__(self, first: Decoder, layers: Sequence[nn.Module], last: Decoder) -> None:
        assert isinstance(last, nn.Module)
        self.first, self.last = first, last
        self.layers = nn.ModuleList(layers)
        traces = trace(list(layers), last)
        self._layers = with_kernels(_chained(traces[:-1]), self.layers)
        self._head = with_kernels(traces[-1].graph, traces[-1].root)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.last.parameters()).device

    @property
    def shapes(self) -> list[AttentionShape]:
        """Those of all layers' attention."""
        modules = [module for layer in self.layers for module in layer.modules()]
        return [module.shape for module in modules if isinstance(module, CoreAttention)]

    @property
    def shape(self) -> AttentionShape:
        """That of the first."""
        return self.shapes[0]

    def hidden_states(self, states: Sequence[LayerState], inputs: StepInputs) -> Tensor:
        """Return what the head looks at, [T, H], and write the tokens' keys and values."""
        hidden = self.first.embed(inputs.tokens, inputs.positions)
        return self._layers(hidden, self.first.rotation(inputs.positions), states, inputs)

    def logits(self, hidden: Tensor) -> Tensor:
        """Map what `hidden_states` gives, [N, H], to this rank's logits [N, V / tp] in float32."""
        return self._head(hidden).float()


def _chained(traces: Sequence[Trace]) -> fx.Graph:
    """The layers' graphs as one; modules are named from their list on."""
    graph = fx.Graph()
    hidden, rotation, states, inputs = (graph.placeholder(name) for name in ("hidden", "rotation", "states", "inputs"))
    for each in traces:
        assert each.number != HEAD
        state = graph.call_function(operator.getitem, (states, each.number))
        given = iter((hidden, rotation, state, inputs))
        copies: dict[fx.Node, fx.Node] = {}
        for node in each.graph.nodes:
            if node.op == "placeholder":
                copies[node] = next(given)
            elif node.op == "output":
                hidden = copies[node.args[0]]
            else:
                copy = copies[node] = graph.node_copy(node, copies.__getitem__)
                if copy.op in ("call_module", "get_attr"):
                    copy.target = f"{each.number}.{copy.target}"
    graph.output(hidden)
    return graph
