"""What a decoder computes, read once from its own code: a torch.fx graph of each layer, and of the head.

The blocks of plugtron.nn stay whole in it, each a node; what an author writes between them becomes functions of torch.
A module whose code cannot be read without its numbers (it branches on them, say) stays whole as well.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn
from torch.fx.proxy import TraceError

from plugtron.contracts.decoder import Decoder, Layer
from plugtron.nn.activations import Activation
from plugtron.nn.attention import CoreAttention
from plugtron.nn.experts import Experts
from plugtron.nn.norms import LayerNorm, RMSNorm
from plugtron.nn.norms_over_ranks import RMSNormOverRanks
from plugtron.nn.operation import CustomOperation
from plugtron.nn.router import Router
from plugtron.parallel.layers import ColumnParallelLinear, ReplicatedLinear, RowParallelLinear, VocabParallelHead

__all__ = ["BLOCKS", "FINAL", "HEAD", "Trace", "block_of", "trace", "trace_final"]

#: What stays whole.
BLOCKS: tuple[type[nn.Module], ...] = (
    *(
        RMSNorm,
        LayerNorm,
        RMSNormOverRanks,
        ColumnParallelLinear,
        RowParallelLinear,
        ReplicatedLinear,
        VocabParallelHead,
    ),
    *(Activation, CoreAttention, Router, Experts, CustomOperation),
)
#: The place of the head among the parts of a decoder.
HEAD = -1
#: That of what the head projects, which is a part of the head.
FINAL = -2


@dataclass(frozen=True, kw_only=True)
class Trace:
    """One part of a decoder: `number` counts this rank's layers, or is HEAD; modules are named from `root` on.

    Placeholders of a layer are its hidden states, rotation, state and metadata, in this order; of the head the hidden
    states alone.
    """

    number: int
    root: nn.Module
    graph: fx.Graph


def trace(layers: Sequence[Layer], last: Decoder | None) -> list[Trace]:
    """Read layers, and the head of the decoder that has it. Weights are not looked at."""
    traces = [Trace(number=number, root=_module(layer), graph=_read(layer)) for number, layer in enumerate(layers)]
    if last is not None:
        traces.append(Trace(number=HEAD, root=_module(last), graph=_read(last, "head")))
    return traces


def trace_final(last: Decoder) -> Trace:
    """Read how the decoder that has the head makes final hidden states."""
    return Trace(number=FINAL, root=_module(last), graph=_read(last, "final_states"))


def _module(part: object) -> nn.Module:
    assert isinstance(part, nn.Module), "decoders and their layers are modules"
    return part


def block_of(module: nn.Module) -> type[nn.Module] | None:
    """The block that a module computes the same as; None: it computes something else."""
    for block in BLOCKS:
        if isinstance(module, block) and type(module).forward is block.forward:
            return block
    return None


def _read(part: object, method: str = "forward") -> fx.Graph:
    tracer = _Tracer()
    tracer.traced_func_name = method
    try:
        return tracer.trace(_module(part))
    # Whatever it is that cannot be read, it can be run as it is.
    except Exception:
        return _whole(_module(part), method)


def _whole(root: nn.Module, method: str) -> fx.Graph:
    """The graph of a part that stays whole."""
    graph = fx.Graph()
    names = ("hidden", "rotation", "state", "memory") if method == "forward" else ("hidden",)
    inputs = [graph.placeholder(name) for name in names]
    graph.output(graph.call_function(getattr(root, method), tuple(inputs)))
    return graph


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether a module stays whole."""
        del module_qualified_name
        return block_of(m) is not None

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        """Read a module's code, or let it stay whole where that fails."""
        before, stack = next(iter(reversed(self.graph.nodes)), None), self.module_stack.copy()
        try:
            return super().call_module(m, forward, args, kwargs)
        # Anything may go wrong in code that was written for numbers.
        except Exception:
            self.module_stack = stack  # fx leaves the module that failed on it
            for node in reversed(self.graph.nodes):
                if node is before:
                    break
                self.graph.erase_node(node)
            return self.create_proxy("call_module", self.path_of_module(m), args, kwargs)

    def to_bool(self, obj: fx.Proxy) -> bool:
        """Refuse to branch on numbers that are not known yet."""
        raise TraceError(f"{obj} decides what is computed")
