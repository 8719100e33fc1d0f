"""A transformers model that multiplies some weights with activations as they are after int8 in groups of 32."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


def rounded_groups(numbers):
    """Numbers [..., I] as they are after int8 in groups of 32."""
    groups = numbers.unflatten(-1, (-1, 32))
    largest = groups.abs().amax(-1, keepdim=True)
    # A division proper: 127 / largest would be 127 times the reciprocal, and now and then round another way.
    inverse = torch.full_like(largest, 127.0) / largest
    return torch.where(largest >= 1e-30, (groups * inverse).round() * (largest / 127), 0.0).flatten(-2)


class RoundedProducts(TorchFunctionMode):
    """Rounds what is multiplied with the weights that it has been told of, while it is entered."""

    _PRODUCTS: ClassVar = {  # and at which place they take the activations and the weight
        F.linear: (0, 1), torch.matmul: (0, 1), torch.Tensor.matmul: (0, 1), torch.Tensor.__matmul__: (0, 1),
        torch.bmm: (0, 1), torch.addmm: (1, 2),
    }  # fmt: skip

    def __init__(self, model):
        super().__init__()
        self._weights, self._used = set(), set()
        # Otherwise all experts' products are one operation that is no product of its own.
        if hasattr(model, "set_experts_implementation"):
            model.set_experts_implementation("eager")

    def take(self, weight):
        """Round what this weight is multiplied with."""
        self._weights.add(weight.untyped_storage().data_ptr())

    @property
    def complete(self):
        """Whether all of the weights have been multiplied with."""
        return self._used == self._weights

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in self._PRODUCTS:
            activations, weight = self._PRODUCTS[function]
            own = args[weight].untyped_storage().data_ptr()
            if own in self._weights:
                self._used.add(own)
                args = [rounded_groups(each) if at == activations else each for at, each in enumerate(args)]
        return function(*args, **(kwargs or {}))
