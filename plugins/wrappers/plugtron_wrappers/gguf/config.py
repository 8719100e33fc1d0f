"""From the metadata of a GGUF file to a DecoderConfig."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugtron.contracts import CheckpointReader, ModelDescription
from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig, RotaryConfig
from plugtron_wrappers.huggingface.rope import yarn_attention_factor

__all__ = ["config_from_gguf"]

#: Keys under the architecture's name that are read below, or change nothing.
_UNDERSTOOD = frozenset(
    {
        "attention.head_count",
        "attention.head_count_kv",
        "attention.key_length",
        "attention.layer_norm_rms_epsilon",
        "attention.sliding_window",
        "attention.value_length",
        "block_count",
        "context_length",
        "embedding_length",
        "feed_forward_length",
        "rope.dimension_count",
        "rope.freq_base",
        "rope.scaling.attn_factor",
        "rope.scaling.factor",
        "rope.scaling.finetuned",
        "rope.scaling.original_context_length",
        "rope.scaling.type",
        "rope.scale_linear",
        "rope.scaling.yarn_attn_factor",
        "rope.scaling.yarn_beta_fast",
        "rope.scaling.yarn_beta_slow",
        "rope.scaling.yarn_log_multiplier",
        "tensor_data_layout",
        "vocab_size",
    }
)


def config_from_gguf(model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
    """Translate metadata; shapes of tensors say what it leaves open.

    Raises:
        CheckpointError: a key is missing, or asks for what this family does not compute.
    """
    metadata, shapes = model.configuration, model.configuration["tensors"]
    prefix = f"{model.architecture}."
    values = {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}
    for key, value in values.items():
        if key not in _UNDERSTOOD and value not in (0, 1.0, False, ""):
            raise CheckpointError(f"{model.path}: {prefix}{key} (= {value!r}) is not implemented")
    hidden, layers, heads = (
        _need(model, values, key) for key in ("embedding_length", "block_count", "attention.head_count")
    )
    kv_heads = _need(model, {"attention.head_count_kv": heads, **values}, "attention.head_count_kv")
    if heads % kv_heads or ("attention.key_length" not in values and hidden % heads):
        raise CheckpointError(f"{model.path}: {heads} heads do not go with {kv_heads} key-value heads, {hidden} wide")
    head_dim = values.get("attention.key_length", hidden // heads)
    if values.get("attention.value_length", head_dim) != head_dim:
        raise CheckpointError(f"{model.path}: keys and values of different length are not implemented")
    if values.get("rope.dimension_count", head_dim) != head_dim:
        raise CheckpointError(f"{model.path}: rotary over part of a head is not implemented")
    if "token_embd.weight" not in shapes:
        raise CheckpointError(f"{model.path}: tensor token_embd.weight is missing")
    return DecoderConfig(
        vocab_size=shapes["token_embd.weight"][0],
        hidden_size=hidden,
        intermediate_size=_need(model, values, "feed_forward_length"),
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=kv_heads,
        head_dim=head_dim,
        max_positions=_need(model, values, "context_length"),
        norm_epsilon=_need(model, values, "attention.layer_norm_rms_epsilon"),
        rotary=_rotary(model, values, checkpoint),
        windows=_windows(model, values, layers),
        rotates=(True,) * layers,
        qkv_bias="blk.0.attn_q.bias" in shapes,
        output_bias="blk.0.attn_output.bias" in shapes,
        mlp_bias="blk.0.ffn_down.bias" in shapes,
        qk_norm="blk.0.attn_q_norm.weight" in shapes,
        tied="output.weight" not in shapes,
    )


def _windows(model: ModelDescription, values: Mapping[str, Any], layers: int) -> tuple[int | None, ...]:
    written = values.get("attention.sliding_window")
    windows = written if isinstance(written, list) else [written] * layers
    if len(windows) != layers:
        raise CheckpointError(f"{model.path}: attention.sliding_window has {len(windows)} entries for {layers} layers")
    return tuple(window or None for window in windows)


def _need(model: ModelDescription, values: Mapping[str, Any], key: str) -> Any:
    if key not in values:
        raise CheckpointError(f"{model.path}: {model.architecture}.{key} is missing")
    value = values[key]
    if isinstance(value, list) and len(set(value)) == 1:  # one entry per layer, all alike
        value = value[0]
    if not isinstance(value, int | float) or isinstance(value, bool) or value <= 0:
        raise CheckpointError(
            f"{model.path}: {model.architecture}.{key} must be one number above 0, the same for all layers"
        )
    return value


def _rotary(model: ModelDescription, values: Mapping[str, Any], checkpoint: CheckpointReader) -> RotaryConfig:
    base = float(values.get("rope.freq_base", 10_000.0))
    kind = values.get("rope.scaling.type", "linear")
    factor = float(values.get("rope.scaling.factor", values.get("rope.scale_linear", 0.0))) or 1.0
    if "rope_freqs.weight" in model.configuration["tensors"]:
        factors = tuple(checkpoint.read("rope_freqs.weight").flatten().tolist())
        if not all(0 < factor < 1e6 for factor in factors):
            raise CheckpointError(f"{model.path}: rope_freqs.weight has factors that are not between 0 and 1e6")
        return RotaryConfig(base=base, scaling="factors", factors=factors)
    if kind == "none" or factor == 1.0:
        return RotaryConfig(base=base)
    if kind == "linear":
        return RotaryConfig(base=base, scaling="linear", factor=factor)
    if kind == "yarn":
        return RotaryConfig(
            base=base,
            scaling="yarn",
            factor=factor,
            original_positions=int(values.get("rope.scaling.original_context_length", values["context_length"])),
            beta_fast=float(values.get("rope.scaling.yarn_beta_fast", 32.0)),
            beta_slow=float(values.get("rope.scaling.yarn_beta_slow", 1.0)),
            attention_factor=_yarn_attention_factor(factor, values),
        )
    raise CheckpointError(f"{model.path}: rope.scaling.type {kind!r} (accepted: none, linear, yarn)")


def _yarn_attention_factor(factor: float, values: Mapping[str, Any]) -> float:
    """As written, else as the paper suggests. llama.cpp multiplies a factor of its own on top."""
    multiplier = values.get("rope.scaling.yarn_log_multiplier", 0.0)
    written = {
        "attention_factor": values.get("rope.scaling.yarn_attn_factor"),
        "mscale": 1.0 if multiplier else None,
        "mscale_all_dim": multiplier,
    }
    return yarn_attention_factor(factor, written) * float(values.get("rope.scaling.attn_factor", 1.0))
