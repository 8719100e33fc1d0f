"""Kernels in the places of what a graph computes: attention, norms with the sum before them, activations."""

from __future__ import annotations

import operator
from typing import Any

from torch import fx, nn

from plugtron.execution.tracing import block_of
from plugtron.execution.triton_modules import KernelAttention, KernelExperts, KernelNorm, StackedAttention
from plugtron.kernels.triton.activations import activate
from plugtron.nn.activations import Activation
from plugtron.nn.attention import CoreAttention
from plugtron.nn.experts import Experts
from plugtron.nn.norms import LayerNorm, Norm, RMSNorm
from plugtron.nn.operation import CustomOperation

__all__ = ["with_kernels"]


def with_kernels(graph: fx.Graph, root: nn.Module) -> fx.GraphModule:
    """Return what a graph computes, by kernels where there are some; the modules of `root` stay as they are."""
    copied = fx.Graph()
    result = copied.graph_copy(graph, {})
    assert result is not None
    copied.output(result)
    return _Rewriter(copied, root).rewrite()


class _Rewriter:
    def __init__(self, graph: fx.Graph, root: nn.Module) -> None:
        self._graph = graph
        self._root = root
        self._kernels: dict[str, nn.Module] = {}

    def rewrite(self) -> fx.GraphModule:
        """Go through all nodes once."""
        for node in list(self._graph.nodes):
            module = self._module(node)
            block = None if module is None else block_of(module)
            if block is CoreAttention and isinstance(module, CoreAttention):
                self._attention(node, module)
            elif block in (RMSNorm, LayerNorm) and isinstance(module, Norm):
                self._norm(node, module)
            elif block is Experts and isinstance(module, Experts):
                self._replace(node, KernelExperts(module), node.args)
            elif block is Activation and isinstance(module, Activation):
                self._activation(node, module)
            elif block is CustomOperation and isinstance(module, CustomOperation) and module.operation.triton:
                self._replace(node, module.operation.triton, node.args)
        # What was there for the others' sake alone; a layer's attention is not, though its results may be of no use.
        self._graph.eliminate_dead_code(is_impure_node=lambda node: node.op in ("placeholder", "output", "call_module"))
        names = {str(node.target) for node in self._graph.nodes if node.op in ("call_module", "get_attr")}
        return fx.GraphModule(
            {name: self._kernels.get(name) or _named(self._root, name) for name in names}, self._graph
        )

    def _module(self, node: fx.Node) -> nn.Module | None:
        return self._root.get_submodule(str(node.target)) if node.op == "call_module" else None

    def _replace(self, node: fx.Node, kernel: Any, arguments: tuple[Any, ...], **options: Any) -> None:
        """Put a call of a kernel's module, or function, in a node's place."""
        with self._graph.inserting_before(node):
            if isinstance(kernel, nn.Module):
                name = f"{node.target}_kernel"
                self._kernels[name] = kernel
                new = self._graph.call_module(name, arguments)
            else:
                new = self._graph.call_function(kernel, arguments, options)
        node.replace_all_uses_with(new)
        self._graph.erase_node(node)

    def _attention(self, node: fx.Node, core: CoreAttention) -> None:
        """At best queries, keys and values come from one product, by way of norms that the kernel knows."""
        query, key, value, *others = node.args
        norms = [self._module(part) if isinstance(part, fx.Node) else None for part in (query, key)]
        sources = [query, key, value]
        both = [norm for norm in norms if isinstance(norm, RMSNorm) and _is_of_heads(norm, core)]
        if len(both) == 2:
            sources = [part.args[0] for part in (query, key) if isinstance(part, fx.Node)] + [value]
        whole = _split_of(sources)
        if whole is None:
            self._replace(node, StackedAttention(core), node.args)
        else:
            pair = (both[0], both[1]) if len(both) == 2 else None
            self._replace(node, KernelAttention(core, pair), (whole, *others))

    def _norm(self, node: fx.Node, norm: Norm) -> None:
        """Also the sum before it, where that may be done in place."""
        # A norm of queries or keys is the attention's, whose turn comes later.
        if any(isinstance(self._module(user), CoreAttention) for user in node.users):
            return
        (source,) = node.all_input_nodes
        terms = self._terms(source, node)
        self._replace(node, KernelNorm(norm), (source,) if terms is None else terms)
        if terms is not None:
            # From here on the sum is where its first term was.
            source.replace_all_uses_with(terms[0])
            self._graph.erase_node(source)

    def _terms(self, source: fx.Node, node: fx.Node) -> tuple[fx.Node, fx.Node] | None:
        """The two terms of a sum that the norm may add up, the first in place; None: there are none."""
        if source.target is not operator.add or len(source.all_input_nodes) != 2 or source.next is not node:
            return None
        order = {other: at for at, other in enumerate(self._graph.nodes)}
        first, second = source.all_input_nodes
        for kept, added in ((first, second), (second, first)):
            if all(order[user] <= order[source] for user in kept.users) and _owns_memory(kept):
                return kept, added
        return None

    def _activation(self, node: fx.Node, module: Activation) -> None:
        """act(gate) · up, where both come from one product, or act(x)."""
        (source,) = node.all_input_nodes
        (user,) = node.users if len(node.users) == 1 else (None,)
        if user is not None and user.target is operator.mul and len(user.all_input_nodes) == 2:
            (up,) = (other for other in user.all_input_nodes if other is not node)
            whole = _halves(source, up)
            if whole is not None:
                self._replace(user, activate, (whole, module.name), gated=True)
                return
        self._replace(node, activate, (source, module.name), gated=False)


def _named(root: nn.Module, path: str) -> Any:
    """A module or a parameter by its name."""
    owner, _, name = path.rpartition(".")
    return getattr(root.get_submodule(owner), name)


def _is_of_heads(norm: RMSNorm, core: CoreAttention) -> bool:
    """Whether the attention's kernel knows a norm of queries or keys."""
    simple = block_of(norm) is RMSNorm and norm.bias is None
    return simple and norm.weight is not None and norm.width == len(norm.weight) == core.shape.head_dim


def _split_of(parts: list[Any]) -> fx.Node | None:
    """What three nodes are the entries 0, 1 and 2 of a split of; None: they are something else."""
    if any(
        not isinstance(part, fx.Node) or part.target is not operator.getitem or part.args[1] != number
        for number, part in enumerate(parts)
    ):
        return None
    split, *others = {part.args[0] for part in parts}
    return split.all_input_nodes[0] if not others and split.op == "call_method" and split.target == "split" else None


def _halves(first: fx.Node, second: fx.Node) -> fx.Node | None:
    """What two nodes are the halves of, in order."""
    if any(
        part.target is not operator.getitem or part.args[1] != number for number, part in enumerate((first, second))
    ):
        return None
    chunk = first.args[0]
    if chunk is not second.args[0] or not isinstance(chunk, fx.Node) or chunk.target != "chunk" or chunk.args[1] != 2:
        return None
    return chunk.all_input_nodes[0]


def _owns_memory(node: fx.Node) -> bool:
    """Whether a node's memory is nobody else's: what is a view, or was given, may be read elsewhere."""
    made = node.op == "call_module" or node.target in (operator.add, operator.mul)
    return made or (node.op == "placeholder" and node.name == "hidden")
