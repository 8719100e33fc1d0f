"""Where the weights of a GPTModel stand in Megatron's checkpoints, by the names that the reader gives them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from plugtron.contracts import Section, Weight, WeightMap
from plugtron.nn import DecoderConfig
from plugtron_wrappers.megatron.config import MegatronModel
from plugtron_wrappers.weight_rules import dense_layers, linear, norm, sparse_layers

__all__ = ["LAYER", "STATES", "centered_at_one", "megatron_weights"]

#: What the reader's names of a layer's tensors begin with.
LAYER = "decoder.layers.{layer}."
_STACK = "stack.{layer}."
#: Tensors that change nothing of what is computed.
STATES = ("*.local_tokens_per_expert", "*.inv_freq")


def megatron_weights(model: MegatronModel) -> WeightMap:
    """All weights; queries, keys and values of a group are neighbors in one tensor, as are gate and up."""
    config = model.config
    weights = [
        Weight(parameter="embedding.weight", tensors=("embedding.word_embeddings.weight",)),
        *norm(config, "final_norm", "decoder.final_layernorm"),
        *_attention(config),
        *_mlps(config),
    ]
    if config.learned_positions:
        weights.append(Weight(parameter="positions.weight", tensors=("embedding.position_embeddings.weight",)))
    if not config.tied:
        weights.append(Weight(parameter="output.weight", tensors=("output_layer.weight",)))
    if model.interleaved:
        weights = [_halves(weight, config) for weight in weights]
    if model.zero_centered:
        weights = [centered_at_one(weight) for weight in weights]
    # A tied head is saved once more by the last pipeline stage; layers of multi-token prediction are for drafts alone.
    return WeightMap(weights=tuple(weights), ignored=("output_layer.weight", "mtp.*", *STATES))


def _attention(config: DecoderConfig) -> Iterator[Weight]:
    yield from norm(config, f"{_STACK}attention_norm", f"{LAYER}input_layernorm")
    yield from norm(config, f"{_STACK}mlp_norm", f"{LAYER}pre_mlp_layernorm")
    if config.qk_norm:
        yield from norm(config, f"{_STACK}attention.query_norm", f"{LAYER}self_attention.q_layernorm")
        yield from norm(config, f"{_STACK}attention.key_norm", f"{LAYER}self_attention.k_layernorm")
    for kind in ("weight", "bias") if config.qkv_bias else ("weight",):
        fused = _query_key_value(config, f"{LAYER}self_attention.linear_qkv.{kind}")
        yield Weight(parameter=f"{_STACK}attention.qkv.{kind}", tensors=fused[:3])
        if config.attention_gate:
            yield Weight(parameter=f"{_STACK}attention.gate.{kind}", tensors=fused[3:])
    if config.sinks:
        sinks = (f"{LAYER}self_attention.core_attention.softmax_offset",)
        yield Weight(parameter=f"{_STACK}attention.core.sinks", tensors=sinks)
    projection = (f"{LAYER}self_attention.linear_proj",)
    yield from linear(f"{_STACK}attention.output", projection, bias=config.output_bias)


def _query_key_value(config: DecoderConfig, tensor: str) -> tuple[Section, ...]:
    """Queries, keys, values, gates. A group in the file: queries that share a key, their gates, the key, the value."""
    queries = config.num_heads // config.num_kv_heads * config.head_dim
    gates = queries if config.attention_gate else 0
    keys = queries + gates
    group = keys + 2 * config.head_dim
    total = config.num_kv_heads * group

    def section(first: int, run: int) -> Section:
        return Section(tensor=tensor, total=total, first=first, run=run, stride=group)

    return (
        section(0, queries),
        section(keys, config.head_dim),
        section(keys + config.head_dim, config.head_dim),
        *((section(queries, gates),) if gates else ()),
    )


def _mlps(config: DecoderConfig) -> Iterator[Weight]:
    if dense := dense_layers(config):
        yield from _mlp(config, f"{_STACK}mlp", f"{LAYER}mlp", config.intermediate_size, dense)
    if sparse := sparse_layers(config):
        yield from _experts(config, sparse)


def _mlp(config: DecoderConfig, parameter: str, tensor: str, size: int, layers: frozenset[int]) -> Iterator[Weight]:
    into = "gate_up" if config.gated else "up"
    for kind in ("weight", "bias") if config.mlp_bias else ("weight",):
        sections = _into(config, f"{tensor}.linear_fc1.{kind}", size)
        yield Weight(parameter=f"{parameter}.{into}.{kind}", tensors=sections, layers=layers)
    yield from linear(f"{parameter}.down", (f"{tensor}.linear_fc2",), bias=config.mlp_bias, layers=layers)


def _into(config: DecoderConfig, tensor: str, size: int) -> tuple[str | Section, ...]:
    """The gate's rows, then the others; without a gate the whole tensor."""
    if not config.gated:
        return (tensor,)
    return tuple(Section(tensor=tensor, total=2 * size, first=half * size, run=size) for half in range(2))


def _experts(config: DecoderConfig, layers: frozenset[int]) -> Iterator[Weight]:
    experts = config.experts
    assert experts is not None
    mlp, stored = f"{_STACK}mlp", f"{LAYER}mlp"
    yield from linear(f"{mlp}.router", (f"{stored}.router",), bias=experts.router_bias, layers=layers)
    if experts.choice_bias:
        yield Weight(parameter=f"{mlp}.router.choice_bias", tensors=(f"{stored}.router.expert_bias",), layers=layers)
    each = [f"{stored}.experts.local_experts.{number}" for number in range(experts.count)]
    for kind, suffix in (("weight", ""), ("bias", "_bias")) if config.mlp_bias else (("weight", ""),):
        into = tuple(part for name in each for part in _into(config, f"{name}.linear_fc1.{kind}", experts.size))
        yield Weight(parameter=f"{mlp}.experts.into{suffix}", tensors=into, layers=layers)
        down = tuple(f"{name}.linear_fc2.{kind}" for name in each)
        yield Weight(parameter=f"{mlp}.experts.down{suffix}", tensors=down, layers=layers)
    if experts.shared_size:
        yield from _mlp(config, f"{mlp}.shared", f"{stored}.shared_experts", experts.shared_size, layers)
    if experts.shared_gate:
        gate = (f"{stored}.shared_experts.gate_weight",)
        yield Weight(parameter=f"{mlp}.shared_gate.weight", tensors=gate, layers=layers)


def centered_at_one(weight: Weight) -> Weight:
    """Norms that were trained as what is added to 1."""
    if not weight.parameter.endswith("norm.weight"):
        return weight
    assert weight.transform is None or weight.parameter.endswith(("query_norm.weight", "key_norm.weight"))
    before = weight.transform

    def add_one(read: Tensor, number: int) -> Tensor:
        return (read if before is None else before(read, number)) + 1

    return replace(weight, transform=add_one)


def _halves(weight: Weight, config: DecoderConfig) -> Weight:
    """Rotary pairs that are neighbors, as the halves of a head that rotate against each other here."""
    assert config.rotary is not None
    width = config.rotary.width or config.head_dim
    width += width % 2  # of an odd number of channels Megatron rotates one more
    fused = weight.parameter.startswith(f"{_STACK}attention.qkv.")
    if not fused and not weight.parameter.startswith((f"{_STACK}attention.query_norm", f"{_STACK}attention.key_norm")):
        return weight

    def reorder(read: Tensor, number: int) -> Tensor:
        if number == 2:  # values do not rotate
            return read
        heads = read.unflatten(0, (-1, config.head_dim)).clone()
        heads[:, :width] = heads[:, :width].unflatten(1, (-1, 2)).transpose(1, 2).flatten(1, 2)
        return heads.flatten(0, 1)

    return replace(weight, transform=reorder)
