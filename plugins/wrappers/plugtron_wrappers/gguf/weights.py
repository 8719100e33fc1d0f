"""Where weights stand in GGUF files: llama.cpp has one set of names for all families."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from plugtron.contracts import Weight, WeightMap
from plugtron.nn import DecoderConfig
from plugtron_wrappers.gguf.experts import expert_weights
from plugtron_wrappers.huggingface.experts import sparse_layers
from plugtron_wrappers.huggingface.names import layer_weights, norm_by_head, one_after_another, whole

__all__ = ["NORMS", "gguf_weights"]

_LAYER = "blk.{layer}."
#: Norms of a layer of Llama's: parameter, and name in the file.
NORMS: Mapping[str, str] = {"attention_norm": "attn_norm", "mlp_norm": "ffn_norm"}


def gguf_weights(
    config: DecoderConfig,
    tensors: Collection[str],
    *,
    norms: Mapping[str, str] = NORMS,
    permuted: bool = False,
    more: Iterable[Weight] = (),
    ignored: Iterable[str] = (),
) -> WeightMap:
    """Names as llama.cpp writes them.

    Args:
        tensors: the names that there are: some files have in one tensor what others have in several.
        norms: of a layer: parameter, and name in the file.
        permuted: rotary pairs are neighbors in queries and keys, in a model whose pairs are half a head apart.
        more: weights that the family names by itself.
        ignored: further tensors that follow from the configuration.
    """
    weights = [
        *whole(config, embedding="token_embd", final_norm="output_norm", output="output"),
        *_attention(config, tensors),
        *layer_weights(config, {parameter: (name,) for parameter, name in norms.items()}, prefix=_LAYER),
        *_mlps(config, tensors),
        *more,
    ]
    if permuted:
        weights = [_pairs_to_halves(weight, config.head_dim) for weight in weights]
    # rope_freqs.weight is read with the configuration; attn_rot_embd follows from it.
    return WeightMap(weights=tuple(weights), ignored=("rope_freqs.weight", "blk.*.attn_rot_embd.weight", *ignored))


def _attention(config: DecoderConfig, tensors: Collection[str]) -> Iterator[Weight]:
    sizes = tuple(heads * config.head_dim for heads in (config.num_heads, config.num_kv_heads, config.num_kv_heads))
    parameter = "stack.{layer}.attention.qkv"
    together = one_after_another(parameter, f"{_LAYER}attn_qkv", sizes, bias=config.qkv_bias)
    apart = layer_weights(config, {"attention.qkv": ("attn_q", "attn_k", "attn_v")}, prefix=_LAYER)
    for fused, separate in zip(together, apart, strict=True):
        kind = fused.parameter.rpartition(".")[2]
        yield fused if f"blk.0.attn_qkv.{kind}" in tensors else separate
    yield from layer_weights(config, {"attention.output": ("attn_output",)}, prefix=_LAYER)
    norms = {"attention.query_norm": "attn_q_norm", "attention.key_norm": "attn_k_norm"} if config.qk_norm else {}
    for own, name in norms.items():
        if config.qk_norm_by_head:
            yield norm_by_head(own, name, prefix=_LAYER)
        else:
            yield from layer_weights(config, {own: (name,)}, prefix=_LAYER)


def _mlps(config: DecoderConfig, tensors: Collection[str]) -> Iterator[Weight]:
    sparse, dense = sparse_layers(config)
    if sparse:
        yield from expert_weights(config, tensors)
    if not dense:
        return
    names: dict[str, tuple[str, ...]] = {"mlp.down": ("ffn_down",)}
    if not config.gated:
        names["mlp.up"] = ("ffn_up",)
    elif f"blk.{min(dense)}.ffn_gate.weight" in tensors:
        names["mlp.gate_up"] = ("ffn_gate", "ffn_up")
    else:  # the gate stands above the way up
        sizes, parameter = (config.intermediate_size,) * 2, "stack.{layer}.mlp.gate_up"
        for weight in one_after_another(parameter, f"{_LAYER}ffn_up", sizes, bias=config.mlp_bias):
            yield replace(weight, layers=dense)
    yield from layer_weights(config, names, prefix=_LAYER, layers=dense)


def _pairs_to_halves(weight: Weight, head_dim: int) -> Weight:
    """Undo llama.cpp's order of query and key rows; values keep theirs."""
    if not weight.parameter.startswith("stack.{layer}.attention.qkv"):
        return weight

    def reorder(rows: Tensor, number: int) -> Tensor:
        if number == 2:
            return rows
        heads = rows.unflatten(0, (-1, head_dim // 2, 2))  # neighbors are a pair
        return heads.transpose(1, 2).flatten(0, 2)  # a pair is half a head apart

    return replace(weight, transform=reorder)
