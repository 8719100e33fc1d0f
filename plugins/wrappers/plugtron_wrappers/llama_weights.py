"""Where the weights of the Llama family stand in Hugging Face folders and in GGUF files."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from plugtron.contracts.weights import Weight, WeightMap
from plugtron.nn import DecoderConfig

__all__ = ["gguf_weights", "huggingface_weights"]

#: Names in either format of what stands in every layer: parameter of the decoder, Hugging Face, GGUF.
_LINEARS = (
    ("attention.qkv", ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), ("attn_q", "attn_k", "attn_v")),
    ("attention.output", ("self_attn.o_proj",), ("attn_output",)),
    ("mlp.gate_up", ("mlp.gate_proj", "mlp.up_proj"), ("ffn_gate", "ffn_up")),
    ("mlp.down", ("mlp.down_proj",), ("ffn_down",)),
)
_NORMS = (
    ("attention_norm", "input_layernorm", "attn_norm"),
    ("mlp_norm", "post_attention_layernorm", "ffn_norm"),
)
_QK_NORMS = (
    ("attention.query_norm", "self_attn.q_norm", "attn_q_norm"),
    ("attention.key_norm", "self_attn.k_norm", "attn_k_norm"),
)


def huggingface_weights(config: DecoderConfig) -> WeightMap:
    """Names as transformers writes them."""
    weights = [
        Weight(parameter="embedding.weight", tensors=("model.embed_tokens.weight",)),
        Weight(parameter="final_norm.weight", tensors=("model.norm.weight",)),
        *([] if config.tied else [Weight(parameter="output.weight", tensors=("lm_head.weight",))]),
        *_layers(config, 1, "model.layers.{layer}."),
    ]
    # A tied head may be stored once more; older exports hold rotary frequencies, which follow from the configuration.
    return WeightMap(weights=tuple(weights), ignored=("lm_head.weight", "*.rotary_emb.inv_freq"))


def gguf_weights(config: DecoderConfig, *, permuted: bool) -> WeightMap:
    """Names as llama.cpp writes them. `permuted`: its rotary pairs are neighbours in queries and keys."""
    weights = [
        Weight(parameter="embedding.weight", tensors=("token_embd.weight",)),
        Weight(parameter="final_norm.weight", tensors=("output_norm.weight",)),
        *([] if config.tied else [Weight(parameter="output.weight", tensors=("output.weight",))]),
        *_layers(config, 2, "blk.{layer}."),
    ]
    if permuted:
        weights = [_pairs_to_halves(weight, config.head_dim) for weight in weights]
    # rope_freqs.weight is read with the configuration; attn_rot_embd follows from it.
    return WeightMap(weights=tuple(weights), ignored=("rope_freqs.weight", "blk.*.attn_rot_embd.weight"))


def _layers(config: DecoderConfig, column: int, prefix: str) -> Iterator[Weight]:
    biased = {
        "attention.qkv": config.qkv_bias,
        "attention.output": config.output_bias,
        "mlp.gate_up": config.mlp_bias,
        "mlp.down": config.mlp_bias,
    }
    for entry in _LINEARS:
        for kind in ("weight", "bias") if biased[entry[0]] else ("weight",):
            tensors = tuple(f"{prefix}{name}.{kind}" for name in entry[column])
            yield Weight(parameter=f"stack.{{layer}}.{entry[0]}.{kind}", tensors=tensors)
    for entry in (*_NORMS, *(_QK_NORMS if config.qk_norm else ())):
        yield Weight(parameter=f"stack.{{layer}}.{entry[0]}.weight", tensors=(f"{prefix}{entry[column]}.weight",))


def _pairs_to_halves(weight: Weight, head_dim: int) -> Weight:
    """Undo llama.cpp's order of query and key rows; values keep theirs."""
    if not weight.parameter.startswith("stack.{layer}.attention.qkv"):
        return weight

    def reorder(rows: Tensor, tensor: str) -> Tensor:
        if ".attn_v." in tensor:
            return rows
        heads = rows.unflatten(0, (-1, head_dim // 2, 2))  # neighbours are a pair
        return heads.transpose(1, 2).flatten(0, 2)  # a pair is half a head apart

    return Weight(parameter=weight.parameter, tensors=weight.tensors, transform=reorder)
