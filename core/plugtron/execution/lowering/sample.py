"""How wide the rows are that a piece of torch returns: it is tried out on a step of zeros."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from plugtron.contracts.decoder import AttentionState, Decoder
from plugtron.contracts.memory import AttentionMetadata, LayerState
from plugtron.execution.lowering.calls import ParameterAt, Value

__all__ = ["SampleStep", "Sampler"]

#: A number of tokens that is no width of anything.
_TOKENS = 7
_BLOCK = 16


class SampleStep:
    """What layers are handed in a step of one row.

    Args:
        states: what the layers keep.
        decoder: makes the rotation.
    """

    def __init__(self, states: Sequence[AttentionState], decoder: Decoder) -> None:
        at = torch.arange(_TOKENS)
        self._layers = tuple(
            LayerState(
                keys=torch.zeros(2, state.kv_heads, _BLOCK, state.head_dim),
                values=torch.zeros(2, state.kv_heads, _BLOCK, state.head_dim),
                window=state.window,
                chunk=state.chunk,
            )
            for state in states
        )
        self._memory = AttentionMetadata(
            layers=self._layers,
            block_size=_BLOCK,
            starts=np.zeros(1, np.int64),
            counts=np.full(1, _TOKENS),
            slots=torch.zeros(1, dtype=torch.int64),
            seq_lens=torch.tensor([_TOKENS]),
            query_start_loc=torch.tensor([0, _TOKENS]),
            block_tables=torch.ones(1, 1, dtype=torch.int64),
            positions=at,
            write_blocks=torch.ones(_TOKENS, dtype=torch.int64),
            write_offsets=at,
            first_blocks=np.ones(1, np.int64),
        )
        self._rotation = decoder.rotation(at)

    def placeholder(self, name: str, part: int) -> Any:
        """What stands for a placeholder of a layer that is no rows."""
        return {"rotation": self._rotation, "state": self._layers[part], "memory": self._memory}[name]


class Sampler:
    """Runs single nodes of a part's graph.

    Args:
        root: the part.
        part: its number.
        step: what it is handed.
    """

    def __init__(self, root: nn.Module, part: int, step: SampleStep) -> None:
        self._root = root
        self._part = part
        self._step = step
        self._samples: dict[fx.Node, Any] = {}

    @torch.inference_mode()
    def width(self, node: fx.Node, found: Mapping[fx.Node, Any]) -> int:
        """How wide the rows are that a node comes to; 0: it comes to something else.

        What fails on zeros is taken to be as wide as what it reads first.
        """
        try:
            args, kwargs = fx.map_arg((node.args, dict(node.kwargs)), lambda argument: self._sample(argument, found))
            result = self._run(node, args, kwargs)
        # Whatever it is: a step will say so.
        except Exception:
            values = [found.get(argument) for argument in node.all_input_nodes]
            return next((value.width for value in values if isinstance(value, Value) and value.width), 0)
        self._samples[node] = result
        rows = isinstance(result, Tensor) and result.dim() == 2 and len(result) == _TOKENS
        return result.shape[1] if rows and result.is_floating_point() else 0

    def _sample(self, node: fx.Node, found: Mapping[fx.Node, Any]) -> Any:
        """What a node comes to, or zeros of its shape."""
        if node in self._samples:
            return self._samples[node]
        value = found.get(node)
        if isinstance(value, int | float):
            return value
        if isinstance(value, tuple):
            return tuple(torch.zeros(_TOKENS, part.width) for part in value)
        if isinstance(value, Value) and value.width:
            return torch.zeros(_TOKENS, value.width)
        if node.op == "get_attr" or isinstance(value, ParameterAt):
            return self._attribute(str(node.target))
        if node.op == "placeholder":
            return self._step.placeholder(node.name, self._part)
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
