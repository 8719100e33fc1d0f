"""From a checkpoint's tensors to a decoder's parameters: each rank reads its own, and none is left over."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from fnmatch import fnmatch

from torch import nn

from plugtron.contracts.checkpoint import CheckpointReader, TensorInfo
from plugtron.contracts.weights import Weight, WeightMap
from plugtron.contracts.wrapper import Decoder
from plugtron.errors import CheckpointError
from plugtron.parallel.layers import Part, ShardedModule

__all__ = ["load_weights"]

#: How many names an error lists before it counts the rest.
_SHOWN = 6


def load_weights(
    decoder: Decoder, layers: range, num_layers: int, weight_map: WeightMap, reader: CheckpointReader
) -> None:
    """Fill a decoder's parameters. `layers` are the decoder's, of the `num_layers` that the model has.

    Raises:
        CheckpointError: tensors are missing, superfluous, or of another shape; all of them in one message.
    """
    assert isinstance(decoder, nn.Module)
    weights = list(_expand(weight_map.weights, layers))
    targets = dict(_targets(decoder))
    mapped = {weight.parameter for weight in weights}
    assert mapped == set(targets), f"weight map and decoder differ in {sorted(mapped ^ set(targets))}"

    stored = reader.tensors
    complaints = [*_mismatches(weights, targets, stored), *_superfluous(weight_map, num_layers, stored)]
    if complaints:
        shown = "; ".join(complaints[:_SHOWN])
        more = f"; and {len(complaints) - _SHOWN} more" if len(complaints) > _SHOWN else ""
        raise CheckpointError(f"{reader.path} does not hold the model that its configuration describes: {shown}{more}")
    for weight in weights:
        parameter, parts = targets[weight.parameter]
        for tensor, part in zip(weight.tensors, parts, strict=True):
            read = reader.read(tensor, part.source)
            parameter.data[part.target] = (weight.transform(read, tensor) if weight.transform else read).to(
                parameter.device
            )


def _expand(weights: Iterable[Weight], layers: range) -> Iterator[Weight]:
    """Write `{layer}` out: in a parameter's name the decoder's own count, in a tensor's the model's."""
    for weight in weights:
        if "{layer}" not in weight.parameter:
            yield weight
            continue
        for local, layer in enumerate(layers):
            tensors = tuple(name.format(layer=layer) for name in weight.tensors)
            yield replace(weight, parameter=weight.parameter.format(layer=local), tensors=tensors)


def _targets(decoder: nn.Module) -> Iterator[tuple[str, tuple[nn.Parameter, tuple[Part, ...]]]]:
    """All parameters by name with their parts; a module used in two places (a tied head) counts once."""
    for path, module in decoder.named_modules():
        if isinstance(module, ShardedModule):
            for name, parts in module.parts.items():
                yield f"{path}.{name}", (module.get_parameter(name), parts)


def _mismatches(
    weights: Iterable[Weight],
    targets: Mapping[str, tuple[nn.Parameter, tuple[Part, ...]]],
    stored: Mapping[str, TensorInfo],
) -> Iterator[str]:
    for weight in weights:
        for tensor, part in zip(weight.tensors, targets[weight.parameter][1], strict=True):
            info = stored.get(tensor)
            if info is None:
                yield f"tensor {tensor} is missing"
            elif info.shape != part.shape:
                yield f"tensor {tensor} in {info.file.name} has shape {list(info.shape)}, expected {list(part.shape)}"


def _superfluous(weight_map: WeightMap, num_layers: int, stored: Mapping[str, TensorInfo]) -> Iterator[str]:
    """Tensors that no rule of the map means, in any layer: they belong to a model that computes something else."""
    known = {tensor for weight in _expand(weight_map.weights, range(num_layers)) for tensor in weight.tensors}
    for name, info in stored.items():
        if name not in known and not any(fnmatch(name, pattern) for pattern in weight_map.ignored):
            yield f"tensor {name} in {info.file.name} has no place in this model"
