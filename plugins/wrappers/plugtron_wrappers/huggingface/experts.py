"""Mixtures of experts in Hugging Face folders: each tensor of each expert by itself, or those of all in one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from plugtron.contracts import CheckpointReader, Section, Weight
from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig, ExpertsConfig

__all__ = [
    "check_choice",
    "expert_weights",
    "holds",
    "separate_experts",
    "sparse_layers",
    "stacked_experts",
    "stored_as",
]


def check_choice(file: str, top_k: int, count: int) -> None:
    """See whether a token can go to as many experts.

    Raises:
        CheckpointError: there are not so many.
    """
    if top_k > count:
        raise CheckpointError(f"{file}: num_experts_per_tok {top_k} is more than the {count} experts that there are")


def sparse_layers(config: DecoderConfig) -> tuple[frozenset[int], frozenset[int]]:
    """The layers with a mixture of experts, and those with one MLP for all tokens."""
    sparse = frozenset(layer for layer in range(config.num_layers) if config.is_sparse(layer))
    return sparse, frozenset(range(config.num_layers)) - sparse


def holds(checkpoint: CheckpointReader, ending: str) -> bool:
    """Whether a checkpoint has a tensor whose name ends so, whatever prefix all its names have."""
    return any(name.endswith(ending) for name in checkpoint.tensors)


def stored_as(checkpoint: CheckpointReader, ending: str) -> str:
    """The type of such a tensor; "" where there is none."""
    return next((info.dtype for name, info in checkpoint.tensors.items() if name.endswith(ending)), "")


def expert_weights(config: DecoderConfig, checkpoint: CheckpointReader, experts: str) -> Iterator[Weight]:
    """Gated experts under the usual names below `experts`, whichever way they are stored."""
    if holds(checkpoint, ".experts.gate_up_proj"):
        yield from stacked_experts(config, f"{experts}.gate_up_proj", f"{experts}.down_proj")
    else:
        names = {name: f"{experts}.{{expert}}.{name}_proj" for name in ("gate", "up", "down")}
        yield from separate_experts(config, names)


def separate_experts(config: DecoderConfig, names: Mapping[str, str]) -> Iterator[Weight]:
    """Experts that are stored one by one: tensors named "gate", "up" and "down", with `{expert}` for the number."""
    count, layers = _experts(config).count, sparse_layers(config)[0]
    inner = ("gate", "up") if config.gated else ("up",)
    for kind, suffix in (("weight", ""), ("bias", "_bias")) if config.mlp_bias else (("weight", ""),):
        for parameter, parts in (("into", inner), ("down", ("down",))):
            tensors = tuple(
                f"{names[part].replace('{expert}', str(expert))}.{kind}" for expert in range(count) for part in parts
            )
            yield Weight(parameter=f"stack.{{layer}}.mlp.experts.{parameter}{suffix}", tensors=tensors, layers=layers)


def stacked_experts(
    config: DecoderConfig, into: str, down: str, *, transposed: bool = False, interleaved: bool = False
) -> Iterator[Weight]:
    """Gated experts whose gates and ups are one tensor [E, 2 F, H], and the way down [E, H, F].

    Args:
        transposed: stored as [E, H, 2 F] and [E, F, H].
        interleaved: each row of a gate is followed by that of the way up; else all of the gate come first.
    """
    experts, layers = _experts(config), sparse_layers(config)[0]
    count, size, hidden = experts.count, experts.size, config.hidden_size

    def part(tensor: str, expert: int, number: int, *, turned: bool) -> Section:
        first, run, stride = (number, 1, 2) if interleaved else (number * size, size, 0)
        return Section(
            tensor=tensor, total=2 * size, first=first, run=run, stride=stride, transposed=turned,
            stack=count, member=expert,
        )  # fmt: skip

    def whole(tensor: str, expert: int, *, turned: bool) -> Section:
        return Section(tensor=tensor, total=hidden, run=hidden, transposed=turned, stack=count, member=expert)

    for suffix, turned in (("", transposed), ("_bias", False)) if config.mlp_bias else (("", transposed),):
        inner = tuple(
            part(into + suffix, expert, number, turned=turned) for expert in range(count) for number in range(2)
        )
        outer = tuple(whole(down + suffix, expert, turned=turned) for expert in range(count))
        for parameter, tensors in (("into", inner), ("down", outer)):
            yield Weight(parameter=f"stack.{{layer}}.mlp.experts.{parameter}{suffix}", tensors=tensors, layers=layers)


def _experts(config: DecoderConfig) -> ExpertsConfig:
    assert config.experts is not None, "only a decoder with experts has weights of theirs"
    return config.experts
