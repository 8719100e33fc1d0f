"""From the metadata of a GGUF file to a DecoderConfig."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Literal

from plugtron.contracts import CheckpointReader, ModelDescription
from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig
from plugtron_wrappers.gguf.experts import EXPERTS_KEYS, Score, experts_from_gguf, is_sparse
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.gguf.rotary import ROTARY_KEYS, rotary_from_gguf

__all__ = ["config_from_gguf", "windows_from_gguf"]

#: Keys under the architecture's name that are read below, or change nothing.
_UNDERSTOOD = ROTARY_KEYS | {
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "attention.sliding_window",
    "attention.value_length",
    "block_count",
    "context_length",
    "embedding_length",
    "feed_forward_length",
    "pooling_type",
    "tensor_data_layout",
    "vocab_size",
}
#: llama.cpp's pooling of models with a head for one score; other kinds are a request's to choose.
_RANKS = 4


def config_from_gguf(
    model: ModelDescription,
    checkpoint: CheckpointReader,
    *,
    norm: Literal["rms", "layer"] = "rms",
    own: Collection[str] = (),
    score: Score | None = None,
    partial: bool = False,
) -> DecoderConfig:
    """Translate metadata to what a Llama of these sizes would be; shapes of tensors say what they leave open.

    Args:
        own: further keys, which the family reads by itself.
        score: how routers of the family score experts; None: it has no mixtures.
        partial: a part of each head may rotate.

    Raises:
        CheckpointError: a key is missing, or asks for what this family does not compute.
    """
    metadata = Metadata.of(model)
    metadata.refuse_unknown(_UNDERSTOOD | set(own) | (EXPERTS_KEYS if score else frozenset()))
    if metadata.values.get("pooling_type") == _RANKS:
        raise metadata.error(f"pooling_type (= {_RANKS})", "is that of a model that ranks texts, not implemented")
    need, shapes = metadata.need, metadata.shapes
    hidden, layers, heads = (need(key) for key in ("embedding_length", "block_count", "attention.head_count"))
    kv_heads = need("attention.head_count_kv", heads)
    if heads % kv_heads or ("attention.key_length" not in metadata.values and hidden % heads):
        raise CheckpointError(f"{model.path}: {heads} heads do not go with {kv_heads} key-value heads, {hidden} wide")
    head_dim = metadata.get("attention.key_length", hidden // heads)
    if metadata.get("attention.value_length", head_dim) != head_dim:
        raise CheckpointError(f"{model.path}: keys and values of different length are not implemented")
    rotary = rotary_from_gguf(metadata, checkpoint, head_dim)
    if rotary.width is not None and not partial:
        raise CheckpointError(f"{model.path}: rotary over part of a head is not implemented")
    if "token_embd.weight" not in shapes:
        raise CheckpointError(f"{model.path}: tensor token_embd.weight is missing")
    config = DecoderConfig(
        vocab_size=shapes["token_embd.weight"][0],
        hidden_size=hidden,
        intermediate_size=need("feed_forward_length"),
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        max_positions=need("context_length"),
        norm=norm,
        norm_epsilon=need("attention.layer_norm_rms_epsilon" if norm == "rms" else "attention.layer_norm_epsilon"),
        rotary=rotary,
        windows=windows_from_gguf(metadata, layers),
        rotates=(True,) * layers,
        qkv_bias=_has(metadata, "attn_q.bias", "attn_qkv.bias"),
        output_bias=_has(metadata, "attn_output.bias"),
        mlp_bias=_has(metadata, "ffn_down.bias", "ffn_down_exps.bias"),
        qk_norm=_has(metadata, "attn_q_norm.weight"),
        tied="output.weight" not in shapes,
        sparse=tuple(is_sparse(metadata, layer) for layer in range(layers)),
    )
    return replace(config, experts=experts_from_gguf(metadata, score)) if score and any(config.sparse) else config


def windows_from_gguf(metadata: Metadata, layers: int, *, full_every: int = 0) -> tuple[int | None, ...]:
    """How far each layer looks back.

    Args:
        full_every: each so many looks all the way back, unless attention.sliding_window_pattern says it; 0: none does.

    Raises:
        CheckpointError: there are more or fewer entries than layers.
    """
    written = metadata.get("attention.sliding_window", 0)
    windows = written if isinstance(written, list) else [written] * layers
    pattern = metadata.get("attention.sliding_window_pattern", full_every)
    sliding = pattern
    if not isinstance(pattern, list):
        sliding = [not pattern or (layer + 1) % pattern != 0 for layer in range(layers)]
    for name, entries in (("sliding_window", windows), ("sliding_window_pattern", sliding)):
        if len(entries) != layers:
            raise metadata.error(f"attention.{name}", f"has {len(entries)} entries for {layers} layers")
    return tuple((window or None) if each else None for window, each in zip(windows, sliding, strict=True))


def _has(metadata: Metadata, *names: str) -> bool:
    """Whether the first layer has one of these tensors."""
    return any(f"blk.0.{name}" in metadata.shapes for name in names)
