"""How wide the rows are that a function of torch returns: it is tried out on zeros."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, fx, nn

from plugtron.execution.lowering.calls import ParameterAt, Value

__all__ = ["Sampler"]

#: A number of rows that is no width of anything.
_ROWS = 7


class Sampler:
    """Runs single nodes of a part's graph.

    Args:
        root: the part.
    """

    def __init__(self, root: nn.Module) -> None:
        self._root = root
        self._samples: dict[fx.Node, Any] = {}

    @torch.inference_mode()
    def width(self, node: fx.Node, found: Mapping[fx.Node, Any]) -> int:
        """How wide the rows are that a node comes to; 0: it comes to something else.

        What cannot be tried out, because it needs more than rows, is taken to be as wide as what it reads first.
        """
        try:
            args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), lambda argument: self._sample(argument, found))
            result = self._run(node, args, kwargs)
        # Whatever it is: a step will say so.
        except Exception:
            values = [found.get(argument) for argument in node.all_input_nodes]
            return next((value.width for value in values if isinstance(value, Value) and value.width), 0)
        self._samples[node] = result
        rows = isinstance(result, Tensor) and result.dim() == 2 and len(result) == _ROWS and result.is_floating_point()
        return result.shape[1] if rows else 0

    def _sample(self, node: fx.Node, found: Mapping[fx.Node, Any]) -> Any:
        """Zeros of a node's shape."""
        if node in self._samples:
            return self._samples[node]
        value = found.get(node)
        if isinstance(value, tuple):
            return tuple(torch.zeros(_ROWS, part.width) for part in value)
        if isinstance(value, Value) and value.width:
            return torch.zeros(_ROWS, value.width)
        if node.op == "get_attr" or isinstance(value, ParameterAt):
            return self._attribute(str(node.target))
        raise LookupError(node)

    def _run(self, node: fx.Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if node.op == "call_module":
            return self._root.get_submodule(str(node.target))(*args, **kwargs)
        if node.op == "call_method":
            return getattr(args[0], str(node.target))(*args[1:], **kwargs)
        assert callable(node.target)
        return node.target(*args, **kwargs)

    def _attribute(self, path: str) -> Any:
        owner, _, name = path.rpartition(".")
        return getattr(self._root.get_submodule(owner), name)
