import torch

from plugtron.contracts import QuantizationMethod


class Int3(QuantizationMethod):
    forms = (torch.Tensor,)

    def __init__(self, group):
        self.group = group
        self.name = f"frozen_int3 in groups of {group}"

    @classmethod
    def assemble(cls, parts, options):
        return cls(options.group)

    def hold(self, part, weight):
        if part == "head" or weight.shape[1] % self.group:
            return None
        groups = weight.float().unflatten(1, (-1, self.group))
        scales = groups.abs().amax(-1, keepdim=True) / 3
        return (torch.where(scales > 0, (groups / scales).round(), 0) * scales).flatten(1)
