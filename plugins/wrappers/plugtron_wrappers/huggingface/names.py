"""Names of weights in Hugging Face folders, for families that write them down layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from plugtron.contracts import Section, Weight
from plugtron.nn import DecoderConfig
from plugtron_wrappers.weight_rules import linear

__all__ = [
    "LLAMA_LAYER",
    "head_by_head",
    "layer_weights",
    "norm_by_head",
    "norm_weights",
    "one_after_another",
    "whole",
]

#: A layer of Llama's: parameters, and names of tensors, as `layer_weights` takes them.
LLAMA_LAYER: Mapping[str, tuple[str, ...]] = {
    "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attention.output": ("self_attn.o_proj",),
    "attention_norm": ("input_layernorm",),
    "mlp_norm": ("post_attention_layernorm",),
    "mlp.gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "mlp.down": ("mlp.down_proj",),
}


def norm_weights(
    config: DecoderConfig, parameter: str, tensors: tuple[str, ...], *, layers: frozenset[int] | None = None
) -> Iterator[Weight]:
    """What a norm of a decoder has: a weight and a bias, one of them, or nothing."""
    kinds = {"weight": config.norm_weight, "bias": config.norm == "layer" and config.norm_bias}
    for weight in linear(parameter, tensors, bias=True, layers=layers):
        if kinds[weight.parameter.rpartition(".")[2]]:
            yield weight


def whole(
    config: DecoderConfig,
    *,
    embedding: str = "model.embed_tokens",
    final_norm: str = "model.norm",
    output: str = "lm_head",
) -> Iterator[Weight]:
    """Embedding, final norm, where there is one, and head."""
    yield from linear("embedding", (embedding,), bias=False)
    if config.final_norm:
        yield from norm_weights(config, "final_norm", (final_norm,))
    if not config.tied:
        yield from linear("output", (output,), bias=config.head_bias)


def layer_weights(
    config: DecoderConfig,
    names: Mapping[str, tuple[str, ...]],
    *,
    prefix: str = "model.layers.{layer}.",
    layers: frozenset[int] | None = None,
) -> Iterator[Weight]:
    """What layers have: parameter of the decoder's layer, and names of tensors, both without `.weight`.

    Linear layers and norms have biases as the configuration says.
    """
    biased = {
        "attention.qkv": config.qkv_bias,
        "attention.output": config.output_bias,
        **dict.fromkeys(("mlp.gate_up", "mlp.up", "mlp.down"), config.mlp_bias),
    }
    for parameter, stored in names.items():
        tensors = tuple(f"{prefix}{name}" for name in stored)
        own = f"stack.{{layer}}.{parameter}"
        if parameter.endswith("norm"):
            yield from norm_weights(config, own, tensors, layers=layers)
        else:
            yield from linear(own, tensors, bias=biased.get(parameter, False), layers=layers)


def one_after_another(parameter: str, tensor: str, sizes: Sequence[int], *, bias: bool) -> Iterator[Weight]:
    """The parts of a linear layer, stored as rows of one tensor; `sizes` are the parts', of all ranks together."""
    total, firsts = sum(sizes), [sum(sizes[:number]) for number in range(len(sizes))]
    for kind in ("weight", "bias") if bias else ("weight",):
        parts = tuple(
            Section(tensor=f"{tensor}.{kind}", total=total, first=first, run=size)
            for first, size in zip(firsts, sizes, strict=True)
        )
        yield Weight(parameter=f"{parameter}.{kind}", tensors=parts)


def head_by_head(config: DecoderConfig, tensor: str) -> Iterator[Weight]:
    """Queries, keys and values in one tensor: all of one key-value head (its queries, key, value), then of the next."""
    dim, grouped = config.head_dim, config.num_heads // config.num_kv_heads
    stride = (grouped + 2) * dim
    runs = ((0, grouped * dim), (grouped * dim, dim), ((grouped + 1) * dim, dim))
    for kind in ("weight", "bias") if config.qkv_bias else ("weight",):
        parts = tuple(
            Section(tensor=f"{tensor}.{kind}", total=config.num_kv_heads * stride, first=first, run=run, stride=stride)
            for first, run in runs
        )
        yield Weight(parameter=f"stack.{{layer}}.attention.qkv.{kind}", tensors=parts)


def norm_by_head(parameter: str, tensor: str, *, prefix: str = "model.layers.{layer}.") -> Weight:
    """The weight of a norm that each head has its own of, stored as [heads, head_dim]."""
    return Weight(
        parameter=f"stack.{{layer}}.{parameter}.weight",
        tensors=(f"{prefix}{tensor}.weight",),
        transform=lambda read, _: read.flatten(),
    )
