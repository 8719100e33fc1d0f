"""How much of a decoder's weights a step reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from torch import nn

from plugtron.nn.experts import ExpertMethod, Experts
from plugtron.nn.positions import LearnedPositions
from plugtron.parallel.layers import LinearMethod, ShardedModule, VocabParallelEmbedding

__all__ = ["layer_weights", "weight_bytes"]


def weight_bytes(layers: Iterable[nn.Module], decoder: nn.Module) -> int:
    """Weight bytes read per step: those of layers and head, not of tables that are looked up."""
    own = {module for layer in layers for module in layer.modules()}
    rest = (module for module in decoder.modules() if module not in own and not _is_of_layers(module, decoder))
    tables = (VocabParallelEmbedding, LearnedPositions)
    read = [*own, *(module for module in rest if not isinstance(module, tables))]
    return sum(held.nbytes for held in _weights(read))


def layer_weights(layers: Iterable[nn.Module]) -> int:
    """How many weights the layers have, next to all of them in matrices."""
    return sum(math.prod(held.shape) for held in _weights(module for layer in layers for module in layer.modules()))


def _is_of_layers(module: nn.Module, decoder: nn.Module) -> bool:
    """Whether a module is in a layer of a decoder that has been loaded with a layer of its own."""
    return any(module is other for layer in getattr(decoder, "layers", ()) for other in layer.modules())


def _weights(modules: Iterable[nn.Module]) -> Iterator[nn.Parameter | LinearMethod | ExpertMethod]:
    for module in modules:
        products: dict[str, LinearMethod | ExpertMethod] = {}
        if isinstance(module, Experts):
            products |= module.products
        elif isinstance(module, ShardedModule) and module.product is not None:
            products["weight"] = module.product
        for name, parameter in module.named_parameters(recurse=False):
            yield products.get(name, parameter)
