"""From the config.json of the Llama family to a DecoderConfig. What is not implemented is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from plugtron.contracts.checkpoint import ModelDescription
from plugtron.errors import CheckpointError
from plugtron.nn import DecoderConfig, RotaryConfig
from plugtron_wrappers.harmless import HARMLESS
from plugtron_wrappers.rope_config import rotary_from_huggingface

__all__ = ["config_from_huggingface"]

#: What a class of transformers means by a field that config.json leaves out, where it differs from Llama's.
_DEFAULTS: dict[str, dict[str, Any]] = {
    "LlamaForCausalLM": {},
    "MistralForCausalLM": {"sliding_window": 4096, "num_key_value_heads": 8},
    "Qwen2ForCausalLM": {"num_key_value_heads": 32, "max_window_layers": 28, "sliding_window": 4096},
    "Qwen3ForCausalLM": {
        "num_key_value_heads": 32,
        "head_dim": 128,
        "max_window_layers": 28,
        "sliding_window": 4096,
    },
    "SmolLM3ForCausalLM": {"num_key_value_heads": 4, "tie_word_embeddings": True, "rope_theta": 2_000_000.0},
}
_REQUIRED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
_UNDERSTOOD = frozenset(
    {
        *_REQUIRED,
        "attention_bias",
        "head_dim",
        "hidden_act",
        "layer_types",
        "max_position_embeddings",
        "max_window_layers",
        "mlp_bias",
        "no_rope_layer_interval",
        "no_rope_layers",
        "num_key_value_heads",
        "rms_norm_eps",
        "rope_parameters",
        "rope_scaling",
        "rope_theta",
        "sliding_window",
        "tie_word_embeddings",
        "use_sliding_window",
    }
)


def config_from_huggingface(model: ModelDescription, ignored: frozenset[str]) -> DecoderConfig:
    """Translate config.json; `ignored` are unknown fields that the user vouches for.

    Raises:
        CheckpointError: a field is missing, or asks for what this family does not compute.
    """
    values = {**_DEFAULTS[model.architecture], **model.configuration}
    _refuse_unknown(model, ignored)
    for name in _REQUIRED:
        if not isinstance(values.get(name), int):
            raise CheckpointError(f"{model.path / 'config.json'}: {name} must be a whole number")
    if values.get("hidden_act", "silu") != "silu":
        raise CheckpointError(f"{model.path / 'config.json'}: hidden_act {values['hidden_act']!r} (accepted: 'silu')")
    layers, heads = values["num_hidden_layers"], values["num_attention_heads"]
    bias = bool(values.get("attention_bias", False))
    qwen2 = model.architecture == "Qwen2ForCausalLM"
    rotates = _rotates(model, values, layers)
    rotary: RotaryConfig = rotary_from_huggingface(values, str(model.path / "config.json"))
    return DecoderConfig(
        vocab_size=values["vocab_size"],
        hidden_size=values["hidden_size"],
        intermediate_size=values["intermediate_size"],
        num_layers=layers,
        num_heads=heads,
        num_kv_heads=values.get("num_key_value_heads") or heads,
        head_dim=values.get("head_dim") or values["hidden_size"] // heads,
        max_positions=values.get("max_position_embeddings", 2048),
        norm_epsilon=values.get("rms_norm_eps", 1e-6),
        rotary=rotary,
        windows=_windows(model.architecture, values, layers, rotates),
        rotates=rotates,
        qkv_bias=bias or qwen2,
        output_bias=bias,
        mlp_bias=bool(values.get("mlp_bias", False)),
        qk_norm=model.architecture == "Qwen3ForCausalLM",
        tied=bool(values.get("tie_word_embeddings", False)),
    )


def _refuse_unknown(model: ModelDescription, ignored: frozenset[str]) -> None:
    """A field that nobody here reads may change what the model computes, unless it is empty."""
    for name, value in model.configuration.items():
        if value in (None, False, {}, []) or name in _UNDERSTOOD | HARMLESS | ignored:
            continue
        raise CheckpointError(
            f"{model.path / 'config.json'}: {name} (= {value!r}) is not implemented for {model.architecture}; if it "
            f"changes nothing, allow it with model.wrapper: {{name: llama, options: {{ignore_fields: [{name}]}}}}"
        )


def _rotates(model: ModelDescription, values: Mapping[str, Any], layers: int) -> tuple[bool, ...]:
    """SmolLM3 leaves every fourth layer without positions."""
    if model.architecture != "SmolLM3ForCausalLM":
        return (True,) * layers
    written = values.get("no_rope_layers")
    interval = values.get("no_rope_layer_interval", 4)
    # Despite its name, 1 in the list means that the layer does rotate.
    return tuple(bool(flag) for flag in written or [(layer + 1) % interval for layer in range(layers)])


def _windows(
    architecture: str, values: Mapping[str, Any], layers: int, rotates: tuple[bool, ...]
) -> tuple[int | None, ...]:
    """How far each layer looks back."""
    window = values.get("sliding_window")
    if architecture == "LlamaForCausalLM":
        return (None,) * layers
    if architecture == "MistralForCausalLM":
        return (window,) * layers
    if not values.get("use_sliding_window"):
        return (None,) * layers
    kinds = values.get("layer_types")
    if kinds is not None:
        return tuple(window if kind == "sliding_attention" else None for kind in kinds)
    if architecture == "SmolLM3ForCausalLM":
        return tuple(None if rotating else window for rotating in rotates)
    first = values.get("max_window_layers", layers)
    return tuple(window if layer >= first else None for layer in range(layers))
