"""Names of weights in Hugging Face folders: Llama's and Mixtral's, and in their manner whatever else there is."""

from __future__ import annotations

from collections.abc import Iterator

from plugtron.contracts import Weight, WeightMap
from plugtron.nn import DecoderConfig
from plugtron_wrappers.weight_rules import dense_layers, linear, norm, sparse_layers

__all__ = ["huggingface_weights"]

_LAYER = "model.layers.{layer}."
_STACK = "stack.{layer}."


def huggingface_weights(config: DecoderConfig) -> WeightMap:
    """All weights of a decoder, each tensor by itself."""
    weights = [
        Weight(parameter="embedding.weight", tensors=("model.embed_tokens.weight",)),
        *norm(config, "final_norm", "model.norm"),
        *([] if config.tied else [Weight(parameter="output.weight", tensors=("lm_head.weight",))]),
        *_attention(config),
        *_mlps(config),
    ]
    if config.learned_positions:
        weights.append(Weight(parameter="positions.weight", tensors=("model.embed_positions.weight",)))
    # A tied head may be stored once more; older exports hold rotary frequencies, which follow from the configuration.
    return WeightMap(weights=tuple(weights), ignored=("lm_head.weight", "*.rotary_emb.inv_freq"))


def _attention(config: DecoderConfig) -> Iterator[Weight]:
    attention = f"{_LAYER}self_attn."
    projections = tuple(f"{attention}{name}_proj" for name in "qkv")
    yield from linear(f"{_STACK}attention.qkv", projections, bias=config.qkv_bias)
    yield from linear(f"{_STACK}attention.output", (f"{attention}o_proj",), bias=config.output_bias)
    yield from norm(config, f"{_STACK}attention_norm", f"{_LAYER}input_layernorm")
    yield from norm(config, f"{_STACK}mlp_norm", f"{_LAYER}post_attention_layernorm")
    if config.qk_norm:
        yield from norm(config, f"{_STACK}attention.query_norm", f"{attention}q_norm")
        yield from norm(config, f"{_STACK}attention.key_norm", f"{attention}k_norm")
    if config.attention_gate:
        yield from linear(f"{_STACK}attention.gate", (f"{attention}gate_proj",), bias=config.qkv_bias)
    if config.sinks:
        yield Weight(parameter=f"{_STACK}attention.core.sinks", tensors=(f"{attention}sinks",))


def _mlps(config: DecoderConfig) -> Iterator[Weight]:
    if dense := dense_layers(config):
        yield from _mlp(config, f"{_STACK}mlp", f"{_LAYER}mlp", dense)
    if sparse := sparse_layers(config):
        yield from _experts(config, sparse)


def _mlp(config: DecoderConfig, parameter: str, tensor: str, layers: frozenset[int]) -> Iterator[Weight]:
    names = ("gate_proj", "up_proj") if config.gated else ("up_proj",)
    into, projections = "gate_up" if config.gated else "up", tuple(f"{tensor}.{name}" for name in names)
    yield from linear(f"{parameter}.{into}", projections, bias=config.mlp_bias, layers=layers)
    yield from linear(f"{parameter}.down", (f"{tensor}.down_proj",), bias=config.mlp_bias, layers=layers)


def _experts(config: DecoderConfig, layers: frozenset[int]) -> Iterator[Weight]:
    """Mixtral's names: w1 is the gate, w3 goes up, w2 down."""
    experts = config.experts
    assert experts is not None
    mlp, stored = f"{_STACK}mlp", f"{_LAYER}block_sparse_moe"
    yield from linear(f"{mlp}.router", (f"{stored}.gate",), bias=experts.router_bias, layers=layers)
    if experts.choice_bias:
        bias = (f"{stored}.gate.e_score_correction_bias",)
        yield Weight(parameter=f"{mlp}.router.choice_bias", tensors=bias, layers=layers)
    into = ("w1", "w3") if config.gated else ("w3",)
    for kind, suffix in (("weight", ""), ("bias", "_bias")) if config.mlp_bias else (("weight", ""),):
        for parameter, names in (("into", into), ("down", ("w2",))):
            tensors = tuple(
                f"{stored}.experts.{expert}.{name}.{kind}" for expert in range(experts.count) for name in names
            )
            yield Weight(parameter=f"{mlp}.experts.{parameter}{suffix}", tensors=tensors, layers=layers)
    if experts.shared_size:
        yield from _mlp(config, f"{mlp}.shared", f"{stored}.shared_expert", layers)
    if experts.shared_gate:
        yield from linear(f"{mlp}.shared_gate", (f"{stored}.shared_expert_gate",), bias=False, layers=layers)
