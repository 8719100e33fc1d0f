"""From a checkpoint's tensors to a decoder's parameters: each rank reads its own, and none is left over."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatch

import torch
from torch import Tensor, nn

from plugtron.checkpoint.map_check import check_map
from plugtron.checkpoint.renamed import under_expected_names
from plugtron.contracts.checkpoint import CheckpointReader, TensorInfo
from plugtron.contracts.decoder import Decoder
from plugtron.contracts.execution import StoredBlocks
from plugtron.contracts.weights import Section, Weight, WeightMap
from plugtron.errors import CheckpointError, PluginError
from plugtron.parallel.layers import Part, ShardedModule
from plugtron.quantization.weight import QuantizedWeight, alike

__all__ = ["check_weights", "expand", "load_weights", "targets"]

#: How many names an error lists before it counts the rest.
_SHOWN = 6
#: Of more stretches of rows all that is between them is read, too: as many reads would take longer.
_MOST_READS = 128
#: So many numbers are read at once.
_STRETCH = 2**22

#: A parameter, and what of each of its tensors this rank holds.
Target = tuple[nn.Parameter, tuple[Part, ...]]


def load_weights(
    decoder: Decoder,
    layers: range,
    num_layers: int,
    weight_map: WeightMap,
    reader: CheckpointReader,
    blocks: StoredBlocks | None = None,
) -> None:
    """Fill a decoder's parameters. `layers` are the decoder's, of the `num_layers` that the model has.

    Matrices that are stored in quantized blocks go to `blocks`, where it is given, and the parameter stays unread.

    Raises:
        CheckpointError: tensors are missing, superfluous, or of another shape; all of them in one message.
    """
    own = targets(decoder)
    reader = under_expected_names(reader, _expected(weight_map, num_layers))
    for weight in check_weights(decoder, layers, num_layers, weight_map, reader):
        parameter, parts = own[weight.parameter]
        if blocks is not None:
            if stored_blocks := _read_blocks(reader, weight, parameter, parts):
                blocks[parameter] = stored_blocks
                continue
            _say_dequantized(reader, weight)
        for number, (tensor, part) in enumerate(zip(weight.tensors, parts, strict=True)):
            pieces = _in_stretches(part) if isinstance(tensor, str) and weight.transform is None else (part,)
            for piece in pieces:
                read = _read(reader, tensor, piece)
                read = weight.transform(read, number) if weight.transform else read
                parameter.data[piece.target] = read.to(parameter.device)


def check_weights(
    decoder: Decoder, layers: range, num_layers: int, weight_map: WeightMap, reader: CheckpointReader
) -> list[Weight]:
    """Return where a decoder's parameters come from, having compared that with what a checkpoint holds.

    Raises:
        CheckpointError: tensors are missing, superfluous, or of another shape; all of them in one message.
        PluginError: decoder and weight map do not fit each other.
    """
    own = targets(decoder)
    reader = under_expected_names(reader, _expected(weight_map, num_layers))
    weights = expand(weight_map.weights, layers)
    # A pipeline stage has neither embedding nor head, or one of them; the whole model has all there is.
    check_map(decoder, own, weights, whole=len(layers) == num_layers)
    weights = [weight for weight in weights if weight.parameter in own]

    stored = reader.tensors
    complaints = [*_mismatches(weights, own, stored), *_superfluous(weight_map, num_layers, stored)]
    if complaints:
        shown = "; ".join(complaints[:_SHOWN])
        more = f"; and {len(complaints) - _SHOWN} more" if len(complaints) > _SHOWN else ""
        raise CheckpointError(f"{reader.path} does not hold the model that its configuration describes: {shown}{more}")
    return weights


def expand(weights: Iterable[Weight], layers: range) -> list[Weight]:
    """Write `{layer}` out: in a parameter's name the decoder's own count, in a tensor's the model's."""
    written: list[Weight] = []
    for weight in weights:
        if "{layer}" not in weight.parameter:
            written.append(weight)
            continue
        for local, layer in enumerate(layers):
            if weight.layers is None or layer in weight.layers:
                tensors = tuple(_named(tensor, layer) for tensor in weight.tensors)
                written.append(replace(weight, parameter=weight.parameter.format(layer=local), tensors=tensors))
    return written


def targets(decoder: Decoder) -> dict[str, Target]:
    """All parameters by name with their parts; a module used in two places (a tied head) counts once.

    Raises:
        PluginError: it is no module.
    """
    if not isinstance(decoder, nn.Module):
        raise PluginError(f"the decoder is a {type(decoder).__name__}, which is no torch.nn.Module")
    return {
        f"{path}.{name}": (module.get_parameter(name), parts)
        for path, module in decoder.named_modules()
        if isinstance(module, ShardedModule)
        for name, parts in module.parts.items()
    }


def _named(tensor: str | Section, layer: int) -> str | Section:
    if isinstance(tensor, str):
        return tensor.format(layer=layer)
    return replace(tensor, tensor=tensor.tensor.format(layer=layer))


def _name(tensor: str | Section) -> str:
    return tensor if isinstance(tensor, str) else tensor.tensor


def _in_stretches(part: Part) -> Iterator[Part]:
    """A part by some of its rows at a time, so that those of an embedding are never all there in another dtype, too."""
    if math.prod(part.shape) <= _STRETCH:
        yield part
        return
    rows, others = _rows_wanted(part)
    (into, *columns) = part.target or (slice(None),)
    width = max(1, math.prod(part.shape[1:]))
    step, begin = max(1, _STRETCH // width), into.start or 0
    for start in range(rows.start, max(rows.stop, rows.start + 1), step):
        stop = min(start + step, rows.stop)
        target = slice(begin + start - rows.start, begin + stop - rows.start)
        yield replace(part, source=(slice(start, stop), *others), target=(target, *columns))


def _read(reader: CheckpointReader, tensor: str | Section, part: Part) -> Tensor:
    """Read what this rank holds of a tensor, and nothing beside it."""
    if isinstance(tensor, str):
        return reader.read(tensor, part.source)
    wanted, others = _rows_wanted(part)
    stretches = tensor.stored_rows(wanted.start, wanted.stop)
    if len(stretches) > _MOST_READS:
        first = stretches[0].start
        whole = _section(reader, tensor, slice(first, stretches[-1].stop), others)
        return torch.cat([whole[rows.start - first : rows.stop - first] for rows in stretches])
    pieces = [_section(reader, tensor, rows, others) for rows in stretches]
    return pieces[0] if len(pieces) == 1 else torch.cat(pieces)


def _read_blocks(
    reader: CheckpointReader, weight: Weight, parameter: nn.Parameter, parts: tuple[Part, ...]
) -> tuple[QuantizedWeight, ...] | None:
    """All of a parameter's tensors in quantized blocks; None when one of them is not stored so."""
    found: list[QuantizedWeight] = []
    for number, (tensor, part) in enumerate(zip(weight.tensors, parts, strict=True)):
        if len(part.shape) != 2:
            return None
        blocks = _blocks_of(reader, tensor, part)
        if blocks is None:
            return None
        found.append(blocks if weight.transform is None else blocks.transformed(weight.transform, number))
    # Experts share one form, in which kernels find the one that is wanted.
    return tuple(found) if parameter.dim() == 2 or alike(found) else None


def _say_dequantized(reader: CheckpointReader, weight: Weight) -> None:
    """Warn of blocks that become numbers, which take many times as much memory."""
    types = {reader.tensors[_name(tensor)].dtype for tensor in weight.tensors}
    if not any(name.startswith(("F", "BF")) for name in types):  # floating point, beside which blocks are numbers, too
        names = ", ".join(sorted(types))
        what = f"{weight.parameter} is stored in blocks ({names}) that cannot be used as they are: of a type without "
        warnings.warn(f"{what}kernels, of several types, or divided by ranks. It is dequantized", stacklevel=2)


def _blocks_of(reader: CheckpointReader, tensor: str | Section, part: Part) -> QuantizedWeight | None:
    """What this rank holds of a tensor in quantized blocks, and perhaps the rows between."""
    if isinstance(tensor, str):
        return reader.read_blocks(tensor, part.source)
    if tensor.transposed:
        return None
    wanted, others = _rows_wanted(part)
    stretches = tensor.stored_rows(wanted.start, wanted.stop)
    first, member = stretches[0].start, slice(tensor.member, tensor.member + 1)
    stored = (slice(first, stretches[-1].stop), *others)
    blocks = reader.read_blocks(tensor.tensor, (member, *stored) if tensor.stack else stored)
    if blocks is None or len(stretches) == 1:
        return blocks
    own = torch.cat([torch.arange(rows.start - first, rows.stop - first) for rows in stretches])
    return blocks.transformed(lambda rows, _: rows[own], 0)


def _rows_wanted(part: Part) -> tuple[slice, list[slice]]:
    """Which rows of a tensor this rank holds, and what of its other axes."""
    wanted, *others = (*part.source, *[slice(None)] * (len(part.shape) - len(part.source)))
    start, stop, _ = wanted.indices(part.shape[0])
    return slice(start, stop), others


def _section(reader: CheckpointReader, section: Section, rows: slice, others: Sequence[slice]) -> Tensor:
    stored = (*others, rows) if section.transposed else (rows, *others)
    if section.stack:
        read = reader.read(section.tensor, (slice(section.member, section.member + 1), *stored))[0]
    else:
        read = reader.read(section.tensor, stored)
    return read.T if section.transposed else read


def _stored_shape(tensor: str | Section, part: Part) -> tuple[int, ...]:
    if isinstance(tensor, str):
        return part.shape
    shape = (tensor.total, *part.shape[1:])
    shape = tuple(reversed(shape)) if tensor.transposed else shape
    return (tensor.stack, *shape) if tensor.stack else shape


def _mismatches(
    weights: Iterable[Weight], own: Mapping[str, Target], stored: Mapping[str, TensorInfo]
) -> Iterator[str]:
    for weight in weights:
        for tensor, part in zip(weight.tensors, own[weight.parameter][1], strict=True):
            name, expected = _name(tensor), _stored_shape(tensor, part)
            info = stored.get(name)
            if info is None:
                yield f"tensor {name} is missing"
            elif info.shape != expected and (1, *info.shape) != expected:  # llama.cpp leaves out an outer axis of one
                yield f"tensor {name} in {info.file.name} has shape {list(info.shape)}, expected {list(expected)}"


def _expected(weight_map: WeightMap, num_layers: int) -> set[str]:
    """All tensors that a weight map names, in any layer."""
    return {_name(tensor) for weight in expand(weight_map.weights, range(num_layers)) for tensor in weight.tensors}


def _superfluous(weight_map: WeightMap, num_layers: int, stored: Mapping[str, TensorInfo]) -> Iterator[str]:
    """Tensors that no rule of the map means, in any layer: they belong to a model that computes something else."""
    known = _expected(weight_map, num_layers)
    for name, info in stored.items():
        if name not in known and not any(fnmatch(name, pattern) for pattern in weight_map.ignored):
            yield f"tensor {name} in {info.file.name} has no place in this model"
