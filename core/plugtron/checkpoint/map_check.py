"""Whether a decoder and the map of its weights fit each other: both are a family's code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from torch import nn

from plugtron.contracts.decoder import Decoder
from plugtron.contracts.weights import Weight
from plugtron.errors import PluginError
from plugtron.parallel.layers import Part

__all__ = ["check_map"]

Target = tuple[nn.Parameter, tuple[Part, ...]]


def check_map(decoder: Decoder, own: Mapping[str, Target], weights: Sequence[Weight], *, whole: bool) -> None:
    """Compare the parameters of a decoder with what a weight map fills.

    Args:
        own: the decoder's parameters that can be loaded.
        whole: the decoder has all layers, so that every weight has to have a place.

    Raises:
        PluginError: they differ; with every name.
    """
    problems = list(_problems(decoder, own, weights, whole))
    if problems:
        raise PluginError(f"{type(decoder).__name__} and its weight map do not fit each other: {'; '.join(problems)}")


def _problems(decoder: Decoder, own: Mapping[str, Target], weights: Sequence[Weight], whole: bool) -> Iterator[str]:
    assert isinstance(decoder, nn.Module), "its parameters have been listed"
    loaded = {id(parameter) for parameter, _ in own.values()}
    times = Counter(weight.parameter for weight in weights)
    for name, parameter in decoder.named_parameters():
        if id(parameter) not in loaded:
            owner = type(decoder.get_submodule(name.rpartition(".")[0])).__name__
            yield f"{name} is a parameter of a {owner}, which is no plugtron.parallel.ShardedModule and is not loaded"
    for name in own:
        if not times[name]:
            yield f"no weight fills {name}"
        elif times[name] > 1:
            yield f"{times[name]} weights fill {name}"
    for weight in weights:
        if weight.parameter not in own:
            if whole:
                yield f"the decoder has no {weight.parameter}"
        elif len(weight.tensors) != len(own[weight.parameter][1]):
            parts = len(own[weight.parameter][1])
            yield f"{weight.parameter} has {parts} parts, and its weight {len(weight.tensors)} tensors"
