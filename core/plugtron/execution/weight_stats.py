"""How much of a decoder's weights a step reads."""

from __future__ import annotations

import math
from collections.abc import Iterator

from torch import nn

from plugtron.parallel.layers import LinearMethod, ShardedModule

__all__ = ["layer_weights", "weight_bytes"]


def weight_bytes(decoder: nn.Module) -> int:
    """Weight bytes read per step, lookup tables excluded: positions, and an embedding that is not the head as well."""
    return sum(held.nbytes for name, held in _weights(decoder) if not name.startswith(("embedding.", "positions.")))


def layer_weights(decoder: nn.Module) -> int:
    """How many weights the layers have, next to all of them in matrices."""
    return sum(math.prod(held.shape) for name, held in _weights(decoder) if name.startswith("stack."))


def _weights(decoder: nn.Module) -> Iterator[tuple[str, nn.Parameter | LinearMethod]]:
    """All of them by every name that they have: a tied head has two."""
    for name, module in decoder.named_modules(remove_duplicate=False):
        product = module.product if isinstance(module, ShardedModule) else None
        for own, parameter in module.named_parameters(recurse=False):
            yield f"{name}.{own}", product if product is not None and own == "weight" else parameter
