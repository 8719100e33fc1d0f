"""Where the weights of the Llama family stand in GGUF files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from torch import Tensor

from plugtron.contracts import Weight, WeightMap
from plugtron.nn import DecoderConfig

__all__ = ["gguf_weights"]

#: What stands in every layer: parameter of the decoder, and names in the file.
_LINEARS = (
    ("attention.qkv", ("attn_q", "attn_k", "attn_v")),
    ("attention.output", ("attn_output",)),
    ("mlp.gate_up", ("ffn_gate", "ffn_up")),
    ("mlp.down", ("ffn_down",)),
)
_NORMS = (("attention_norm", "attn_norm"), ("mlp_norm", "ffn_norm"))
_QK_NORMS = (("attention.query_norm", "attn_q_norm"), ("attention.key_norm", "attn_k_norm"))


def gguf_weights(config: DecoderConfig, *, permuted: bool = False, norms: Mapping[str, str] | None = None) -> WeightMap:
    """Names as llama.cpp writes them.

    Args:
        permuted: its rotary pairs are neighbors in queries and keys.
        norms: of a layer, beside those before attention and MLP: parameter, and name in the file.
    """
    weights = [
        Weight(parameter="embedding.weight", tensors=("token_embd.weight",)),
        Weight(parameter="final_norm.weight", tensors=("output_norm.weight",)),
        *([] if config.tied else [Weight(parameter="output.weight", tensors=("output.weight",))]),
        *_layers(config),
        *(
            Weight(parameter=f"stack.{{layer}}.{parameter}.weight", tensors=(f"blk.{{layer}}.{name}.weight",))
            for parameter, name in (norms or {}).items()
        ),
    ]
    if permuted:
        weights = [_pairs_to_halves(weight, config.head_dim) for weight in weights]
    # rope_freqs.weight is read with the configuration; attn_rot_embd follows from it.
    return WeightMap(weights=tuple(weights), ignored=("rope_freqs.weight", "blk.*.attn_rot_embd.weight"))


def _layers(config: DecoderConfig) -> Iterator[Weight]:
    biased = {
        "attention.qkv": config.qkv_bias,
        "attention.output": config.output_bias,
        "mlp.gate_up": config.mlp_bias,
        "mlp.down": config.mlp_bias,
    }
    for parameter, names in _LINEARS:
        for kind in ("weight", "bias") if biased[parameter] else ("weight",):
            tensors = tuple(f"blk.{{layer}}.{name}.{kind}" for name in names)
            yield Weight(parameter=f"stack.{{layer}}.{parameter}.{kind}", tensors=tensors)
    for parameter, name in (*_NORMS, *(_QK_NORMS if config.qk_norm else ())):
        yield Weight(parameter=f"stack.{{layer}}.{parameter}.weight", tensors=(f"blk.{{layer}}.{name}.weight",))


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
