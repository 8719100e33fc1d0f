"""Pieces of a decoder that run through torch, between operations of the native step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, fx, nn

from plugtron.execution.lowering.calls import TorchCall, Value

__all__ = ["TorchStep", "kept_parameters", "piece_name"]

#: The placeholders of a layer that are no rows.
_STATICS = ("rotation", "state", "memory")


class TorchStep:
    """A piece as a module: maps what it reads, by value, and a layer's rotation, state and metadata, to what it writes.

    Args:
        call: the piece.
    """

    def __init__(self, call: TorchCall) -> None:
        self._call = call
        graph = fx.Graph()
        copies: dict[fx.Node, fx.Node] = {node: graph.placeholder(node.name) for node in call.reads}
        statics = {name: graph.placeholder(name) for name in _STATICS}

        def copy(node: fx.Node) -> fx.Node:
            if node not in copies:
                copies[node] = statics[node.name] if node.op == "placeholder" else graph.node_copy(node, copy)
            return copies[node]

        graph.output(tuple(copy(node) for node in call.nodes))
        self._module = fx.GraphModule(call.root, graph)
        #: It reads the rotation of a step.
        self.rotates = bool(statics["rotation"].users)
        self.reads: tuple[Value, ...] = tuple(call.reads.values())
        self.writes: tuple[Value, ...] = tuple(call.writes[node] for node in call.nodes)

    def __call__(self, reads: list[Any], statics: Mapping[str, Any]) -> tuple[Any, ...]:
        """Run it."""
        return self._module(*reads, *(statics.get(name) for name in _STATICS))

    @property
    def is_light(self) -> bool:
        """Whether it has no products, as far as its code shows."""
        return not any(
            node.op == "call_module" or isinstance(getattr(node.target, "__self__", None), nn.Module)
            for node in self._call.nodes
        )

    @property
    def name(self) -> str:
        """What it computes, for reading."""
        return f"torch: {piece_name(self._call)}"


def piece_name(call: TorchCall) -> str:
    """The functions and modules of a piece."""
    names = [
        type(call.root.get_submodule(str(node.target))).__name__
        if node.op == "call_module"
        else str(getattr(node.target, "__name__", node.target))
        for node in call.nodes
    ]
    return ", ".join(dict.fromkeys(name for name in names if name != "getitem"))


def kept_parameters(
    call: TorchCall, root: nn.Module, convert: Callable[[nn.Module, nn.Parameter], Tensor]
) -> dict[str, Tensor]:
    """The parameters that a piece reads, by name, from a part whose weights are loaded.

    Args:
        convert: makes of a matrix of a module what the piece is to have.
    """
    found: dict[str, Tensor] = {}
    for node in _copied(call):
        owner: tuple[str, nn.Module] | None = None
        if node.op == "call_module":
            owner = str(node.target), root.get_submodule(str(node.target))
        elif node.op == "call_function" and isinstance(getattr(node.target, "__self__", None), nn.Module):
            owner = "", root
        if owner is not None:
            names = [".".join(filter(None, (owner[0], name))) for name, _ in owner[1].named_parameters()]
        else:
            read = [argument for argument in node.all_input_nodes if argument.op == "get_attr"]
            names = [str(each.target) for each in read if _is_parameter(root, str(each.target))]
        for name in names:
            module, parameter = root.get_submodule(name.rpartition(".")[0]), root.get_parameter(name)
            own = convert(module, parameter) if parameter.dim() > 1 else parameter.data.float()
            found[f"cut.{call.part}.{name}"] = own
    return found


def _copied(call: TorchCall) -> list[fx.Node]:
    """All nodes that a piece runs: its own, and those before them that no buffer has the result of."""
    found = dict.fromkeys(call.nodes)
    waiting = list(call.nodes)
    while waiting:
        for node in waiting.pop().all_input_nodes:
            if node not in found and node not in call.reads and node.op != "placeholder":
                found[node] = None
                waiting.append(node)
    return list(found)


def _is_parameter(root: nn.Module, path: str) -> bool:
    owner, _, name = path.rpartition(".")
    return isinstance(getattr(root.get_submodule(owner), name), nn.Parameter)
