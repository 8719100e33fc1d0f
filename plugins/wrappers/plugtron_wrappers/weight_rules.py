"""What the weight maps of all formats share: norms, linear layers, and which layers have experts."""

from __future__ import annotations

from collections.abc import Iterator

from plugtron.contracts import Section, Weight
from plugtron.nn import DecoderConfig

__all__ = ["dense_layers", "linear", "norm", "sparse_layers"]


def norm(config: DecoderConfig, parameter: str, tensor: str) -> Iterator[Weight]:
    """A norm's weight, and its bias where norms have one."""
    return linear(parameter, (tensor,), bias=config.norm == "layer")


def linear(
    parameter: str, tensors: tuple[str, ...], *, bias: bool, layers: frozenset[int] | None = None
) -> Iterator[Weight]:
    """A linear layer's weight and bias, put together from whole tensors."""
    for kind in ("weight", "bias") if bias else ("weight",):
        names: tuple[str | Section, ...] = tuple(f"{tensor}.{kind}" for tensor in tensors)
        yield Weight(parameter=f"{parameter}.{kind}", tensors=names, layers=layers)


def dense_layers(config: DecoderConfig) -> frozenset[int]:
    """The layers with one MLP for all tokens."""
    return frozenset(range(config.num_layers)) - sparse_layers(config)


def sparse_layers(config: DecoderConfig) -> frozenset[int]:
    """The layers with a mixture of experts."""
    return frozenset(layer for layer in range(config.num_layers) if config.is_sparse(layer))
