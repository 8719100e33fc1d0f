"""From the config.json of the Llama family to a DecoderConfig. What is not implemented is refused by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from plugtron.contracts import ModelDescription
from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig, ExpertsConfig
from plugtron_wrappers.huggingface.fields import LlamaFields, validated
from plugtron_wrappers.huggingface.ignored_fields import refuse_unknown
from plugtron_wrappers.huggingface.rope import max_positions, rotary_from_huggingface

__all__ = ["config_from_huggingface"]

Entry = TypeVar("Entry")

#: What a class of transformers means by a field that config.json leaves out, where it differs from Llama's.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {},
    "MistralForCausalLM": {"sliding_window": 4096, "num_key_value_heads": 8},
    "MixtralForCausalLM": {
        "num_key_value_heads": 8,
        "rope_theta": 1_000_000.0,
        "max_position_embeddings": 131072,
        "rms_norm_eps": 1e-5,
    },
    "Qwen2ForCausalLM": {"num_key_value_heads": 32, "max_window_layers": 28, "sliding_window": 4096},
    "Qwen3ForCausalLM": {
        "num_key_value_heads": 32,
        "head_dim": 128,
        "max_window_layers": 28,
        "sliding_window": 4096,
    },
    "SmolLM3ForCausalLM": {"num_key_value_heads": 4, "tie_word_embeddings": True, "rope_theta": 2_000_000.0},
}

#: The classes that read attention_bias and mlp_bias; for others these fields mean nothing, as in transformers.
_ATTENTION_BIAS = ("LlamaForCausalLM", "Qwen3ForCausalLM", "SmolLM3ForCausalLM")
_MLP_BIAS = ("LlamaForCausalLM", "SmolLM3ForCausalLM")


def config_from_huggingface(model: ModelDescription, ignored: frozenset[str]) -> DecoderConfig:
    """Translate config.json; `ignored` are unknown fields that the user vouches for.

    Raises:
        CheckpointError: a field is missing, wrong, or asks for what this family does not compute.
    """
    file = str(model.path / "config.json")
    refuse_unknown(model, {*LlamaFields.model_fields, *ignored}, file, wrapper="llama")
    architecture = model.architecture
    fields = validated(LlamaFields, {**_DEFAULTS[architecture], **model.configuration}, file)
    layers, heads = fields.num_hidden_layers, fields.num_attention_heads
    if fields.head_dim is None and fields.hidden_size % heads:
        raise CheckpointError(f"{file}: hidden_size {fields.hidden_size} is no multiple of {heads} heads")
    kv_heads = fields.num_key_value_heads or heads
    if heads % kv_heads:
        raise CheckpointError(f"{file}: {heads} attention heads cannot share {kv_heads} key-value heads")
    experts = _experts(fields, file) if architecture == "MixtralForCausalLM" else None
    rotates = _rotates(architecture, fields, file)
    return DecoderConfig(
        vocab_size=fields.vocab_size,
        hidden_size=fields.hidden_size,
        intermediate_size=fields.intermediate_size,
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=fields.head_dim or fields.hidden_size // heads,
        max_positions=max_positions(fields, file),
        norm_epsilon=fields.rms_norm_eps,
        rotary=rotary_from_huggingface(fields, file),
        windows=_windows(architecture, fields, rotates, file),
        rotates=rotates,
        qkv_bias=(fields.attention_bias and architecture in _ATTENTION_BIAS) or architecture == "Qwen2ForCausalLM",
        output_bias=fields.attention_bias and architecture in _ATTENTION_BIAS,
        mlp_bias=fields.mlp_bias and architecture in _MLP_BIAS,
        qk_norm=architecture == "Qwen3ForCausalLM",
        tied=fields.tie_word_embeddings,
        sparse=(experts is not None,) * layers,
        experts=experts,
    )


def _rotates(architecture: str, fields: LlamaFields, file: str) -> tuple[bool, ...]:
    """SmolLM3 leaves every fourth layer without positions."""
    layers = fields.num_hidden_layers
    if architecture != "SmolLM3ForCausalLM":
        return (True,) * layers
    # Despite its name, 1 in the list means that the layer does rotate.
    written = fields.no_rope_layers or [(layer + 1) % fields.no_rope_layer_interval for layer in range(layers)]
    return tuple(map(bool, _one_per_layer("no_rope_layers", written, layers, file)))


def _windows(architecture: str, fields: LlamaFields, rotates: tuple[bool, ...], file: str) -> tuple[int | None, ...]:
    """How far each layer looks back."""
    layers, window = fields.num_hidden_layers, fields.sliding_window
    if architecture in ("MistralForCausalLM", "MixtralForCausalLM"):
        return (window,) * layers
    if architecture == "LlamaForCausalLM" or not fields.use_sliding_window:
        return (None,) * layers
    if fields.layer_types is not None:
        kinds = _one_per_layer("layer_types", fields.layer_types, layers, file)
        return tuple(window if kind == "sliding_attention" else None for kind in kinds)
    if architecture == "SmolLM3ForCausalLM":
        return tuple(None if rotating else window for rotating in rotates)
    first = layers if fields.max_window_layers is None else fields.max_window_layers
    return tuple(window if layer >= first else None for layer in range(layers))


def _experts(fields: LlamaFields, file: str) -> ExpertsConfig:
    count, top_k = fields.num_local_experts, fields.num_experts_per_tok
    if top_k > count:
        raise CheckpointError(f"{file}: num_experts_per_tok {top_k} is more than num_local_experts {count}")
    return ExpertsConfig(count=count, top_k=top_k, size=fields.intermediate_size)


def _one_per_layer(name: str, entries: Sequence[Entry], layers: int, file: str) -> Sequence[Entry]:
    if len(entries) != layers:
        raise CheckpointError(f"{file}: {name} has {len(entries)} entries for {layers} layers")
    return entries
