"""Final hidden states of a native step: what the head projects to logits, of what the last layer has left."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from plugtron.contracts.decoder import Decoder, HasFinalStates
from plugtron.execution.lowering.calls import TorchCall, Value
from plugtron.execution.lowering.torch_step import TorchStep, kept_parameters
from plugtron.execution.tracing import trace_final
from plugtron.kernels.sampling import on_one_thread

__all__ = ["FinalStates", "why_no_final_states"]


def why_no_final_states(decoder: Decoder) -> str:
    """Say why a decoder's final hidden states cannot be had; "" when they can."""
    return "" if isinstance(decoder, HasFinalStates) else f"{type(decoder).__name__} has no `final_states`"


class FinalStates:
    """Runs a decoder's `final_states` through torch, in float32: a norm of few rows, beside a whole native step.

    Args:
        decoder: one that has the head, whose weights are not looked at.
        width: of hidden states.
    """

    def __init__(self, decoder: Decoder, width: int) -> None:
        traced = trace_final(decoder)
        (hidden,) = (node for node in traced.graph.nodes if node.op == "placeholder")
        (result,) = next(node for node in traced.graph.nodes if node.op == "output").args
        # What it comes to has whatever width: no buffer is made for it.
        self._call = TorchCall(
            part=traced.number,
            root=traced.root,
            nodes=[result],
            reads={hidden: Value(width=width)},
            writes={result: Value(width=0)},
        )
        self._step = TorchStep(self._call)

    def parameters(self, decoder: nn.Module, convert: Callable[[nn.Module, nn.Parameter], Tensor]) -> dict[str, Tensor]:
        """What it reads, by name, from a decoder whose weights are loaded.

        Args:
            convert: makes of a matrix of a module what a product is to have.
        """
        return kept_parameters(self._call, decoder, convert)

    def fill(self, parameters: Mapping[str, Tensor]) -> None:
        """Give it its parameters, by name."""
        for name, parameter in self._call.root.named_parameters():
            kept = parameters.get(f"cut.{self._call.part}.{name}")
            if kept is not None:
                parameter.data = kept

    def __call__(self, hidden: Tensor) -> Tensor:
        """Map hidden states [N, H] after the last layer to final ones, [N, E]."""
        with on_one_thread(hidden):
            (final,) = self._step([hidden], {})
        assert isinstance(final, torch.Tensor)
        return final
