"""Mixtures of experts in GGUF files: those of a layer in one tensor, or in files of 2023 one by one."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Literal, TypeAlias

from plugtron.contracts import Section, Weight
from plugtron.nn import DecoderConfig, ExpertsConfig
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.huggingface.experts import separate_experts, sparse_layers
from plugtron_wrappers.huggingface.names import layer_weights
from plugtron_wrappers.weight_rules import linear

__all__ = ["EXPERTS_KEYS", "Score", "expert_weights", "experts_from_gguf", "is_sparse"]

Score: TypeAlias = Literal["softmax", "softmax_chosen", "softmax_renormalized", "sigmoid"]

#: Keys that are read here, or that shapes of tensors say, too.
EXPERTS_KEYS = frozenset(
    {
        "expert_count",
        "expert_feed_forward_length",
        "expert_gating_func",
        "expert_shared_feed_forward_length",
        "expert_used_count",
        "expert_weights_norm",
        "expert_weights_scale",
    }
)
#: llama.cpp's numbers of the ways to score experts.
_SCORES: dict[int, Score] = {1: "softmax", 2: "sigmoid", 3: "softmax_chosen"}
_LAYER = "blk.{layer}."


def is_sparse(metadata: Metadata, layer: int) -> bool:
    """Whether a layer's MLP is a mixture of experts."""
    return f"blk.{layer}.ffn_gate_inp.weight" in metadata.shapes


def experts_from_gguf(metadata: Metadata, score: Score) -> ExpertsConfig:
    """Read what experts are like, which are alike in all layers that have some.

    Args:
        score: how the family's routers score experts, unless the file says it.

    Raises:
        CheckpointError: a key is missing or wrong, or a token goes to more experts than there are.
    """
    shapes = metadata.shapes
    first = next(layer for layer in range(metadata.need("block_count")) if is_sparse(metadata, layer))
    count, top_k = metadata.need("expert_count"), metadata.need("expert_used_count")
    if top_k > count:
        raise metadata.error("expert_used_count", f"{top_k} is more than the {count} experts that there are")
    down = next((name for name in ("ffn_down_exps", "ffn_down.0") if f"blk.{first}.{name}.weight" in shapes), None)
    if down is None:
        raise metadata.error("expert_count", f"is {count}, and tensor blk.{first}.ffn_down_exps.weight is missing")
    shared = shapes.get(f"blk.{first}.ffn_down_shexp.weight", (0,))
    return ExpertsConfig(
        count=count,
        top_k=top_k,
        size=shapes[f"blk.{first}.{down}.weight"][-1],
        score=_score(metadata, score),
        scale=float(metadata.get("expert_weights_scale", 0.0)) or 1.0,
        router_bias=f"blk.{first}.ffn_gate_inp.bias" in shapes,
        shared_size=shared[-1],
        shared_gate=f"blk.{first}.ffn_gate_inp_shexp.weight" in shapes,
    )


def _score(metadata: Metadata, usual: Score) -> Score:
    """How experts are scored: as written, else as is usual for the family."""
    number = metadata.get("expert_gating_func", 0)
    score = _SCORES[number] if number else usual
    normed = metadata.get("expert_weights_norm", None)
    if normed is None or not score.startswith("softmax"):
        return score
    if normed:
        return "softmax_renormalized" if score == "softmax" else score
    return "softmax"


def expert_weights(config: DecoderConfig, tensors: Collection[str]) -> Iterator[Weight]:
    """Where the weights of routers and experts stand; `tensors` are the names that there are."""
    experts, (layers, _) = config.experts, sparse_layers(config)
    assert experts is not None, "only a decoder with experts has weights of theirs"
    mlp = "stack.{layer}.mlp"
    yield from linear(f"{mlp}.router", (f"{_LAYER}ffn_gate_inp",), bias=experts.router_bias, layers=layers)
    if experts.shared_size:
        shared = {"mlp.shared.gate_up": ("ffn_gate_shexp", "ffn_up_shexp"), "mlp.shared.down": ("ffn_down_shexp",)}
        yield from layer_weights(config, shared, prefix=_LAYER, layers=layers)
    if experts.shared_gate:
        yield from linear(f"{mlp}.shared_gate", (f"{_LAYER}ffn_gate_inp_shexp",), bias=False, layers=layers)
    if f"blk.{min(layers)}.ffn_down.0.weight" in tensors:
        names = {name: f"{_LAYER}ffn_{name}.{{expert}}" for name in ("gate", "up", "down")}
        yield from separate_experts(config, names)
    else:
        fused = f"blk.{min(layers)}.ffn_gate_up_exps.weight" in tensors
        yield from _stacked_experts(config, experts, layers, fused=fused)


def _stacked_experts(
    config: DecoderConfig, experts: ExpertsConfig, layers: frozenset[int], *, fused: bool
) -> Iterator[Weight]:
    """All experts of a layer in one tensor [E, F, H] or [E, H, F]; `fused`: gates, then ups, in one, [E, 2 F, H]."""
    count, size, hidden = experts.count, experts.size, config.hidden_size
    gate, up = (("ffn_gate_up_exps", 0, 2), ("ffn_gate_up_exps", 1, 2)) if fused else (
        ("ffn_gate_exps", 0, 1),
        ("ffn_up_exps", 0, 1),
    )  # fmt: skip

    def of(name: str, kind: str, expert: int, rows: int, number: int = 0, parts: int = 1) -> Section:
        tensor, first = f"{_LAYER}{name}.{kind}", number * rows
        return Section(tensor=tensor, total=parts * rows, first=first, run=rows, stack=count, member=expert)

    for kind, suffix in (("weight", ""), ("bias", "_bias")) if config.mlp_bias else (("weight", ""),):
        into = tuple(
            of(name, kind, expert, size, number, parts) for expert in range(count) for name, number, parts in (gate, up)
        )
        down = tuple(of("ffn_down_exps", kind, expert, hidden) for expert in range(count))
        for parameter, sections in (("into", into), ("down", down)):
            yield Weight(parameter=f"stack.{{layer}}.mlp.experts.{parameter}{suffix}", tensors=sections, layers=layers)
