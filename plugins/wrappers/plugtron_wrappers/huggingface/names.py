"""Names of weights in Hugging Face folders, for families that write them down layer by layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from plugtron.contracts import Section, Weight
from plugtron.nn import DecoderConfig

__all__ = [
    "LLAMA_LAYER",
    "head_by_head",
    "layer_weights",
    "linear_weights",
    "norm_by_head",
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


def linear_weights(
    parameter: str, tensors: tuple[str, ...], *, bias: bool, layers: frozenset[int] | None = None
) -> Iterator[Weight]:
    """The weight, and perhaps the bias, of a linear layer or a norm, put together from whole tensors."""
    for kind in ("weight", "bias") if bias else ("weight",):
        names: tuple[str | Section, ...] = tuple(f"{tensor}.{kind}" for tensor in tensors)
        yield Weight(parameter=f"{parameter}.{kind}", tensors=names, layers=layers)


def whole(
    config: DecoderConfig,
    *,
    embedding: str = "model.embed_tokens",
    final_norm: str = "model.norm",
    output: str = "lm_head",
) -> Iterator[Weight]:
    """Embedding, final norm and head."""
    yield from linear_weights("embedding", (embedding,), bias=False)
    yield from linear_weights("final_norm", (final_norm,), bias=config.norm == "layer" and config.norm_bias)
    if not config.tied:
        yield from linear_weights("output", (output,), bias=config.head_bias)


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
    norm_bias = config.norm == "layer" and config.norm_bias
    for parameter, stored in names.items():
        tensors = tuple(f"{prefix}{name}" for name in stored)
        bias = norm_bias if parameter.endswith("norm") else biased.get(parameter, False)
        yield from linear_weights(f"stack.{{layer}}.{parameter}", tensors, bias=bias, layers=layers)


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
    """Queries, keys and values in one tensor: those of one head, then those of the next."""
    dim, heads = config.head_dim, config.num_heads
    for kind in ("weight", "bias") if config.qkv_bias else ("weight",):
        parts = tuple(
            Section(tensor=f"{tensor}.{kind}", total=3 * heads * dim, first=part * dim, run=dim, stride=3 * dim)
            for part in range(3)
        )
        yield Weight(parameter=f"stack.{{layer}}.attention.qkv.{kind}", tensors=parts)


def norm_by_head(parameter: str, tensor: str, *, prefix: str = "model.layers.{layer}.") -> Weight:
    """The weight of a norm that each head has its own of, stored as [heads, head_dim]."""
    return Weight(
        parameter=f"stack.{{layer}}.{parameter}.weight",
        tensors=(f"{prefix}{tensor}.weight",),
        transform=lambda read, _: read.flatten(),
    )
