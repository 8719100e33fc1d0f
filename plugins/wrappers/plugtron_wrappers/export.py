"""Which class of transformers computes a decoder, and its config.json; plugtron's own where none does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plugtron.contracts import Export
from plugtron.nn import DecoderConfig, RotaryConfig
from plugtron_wrappers.gpt.gpt2 import gpt2_activation, gpt2_weights
from plugtron_wrappers.gpt.plugtron_config import PLAIN_ARCHITECTURE, plain_config
from plugtron_wrappers.huggingface.weights import huggingface_weights
from plugtron_wrappers.llama.relative import Relative, relatives

__all__ = ["export"]

_WORDS: tuple[str, ...] = ("model.embed_tokens.weight", "transformer.wte.weight", "lm_head.weight")


def export(config: DecoderConfig) -> Export:
    """Describe a decoder as a Hugging Face folder, without the padding of its vocabulary."""
    bare = replace(config, padded_vocab_size=None)
    rows = dict.fromkeys(_WORDS, config.vocab_size)
    if _is_usual(config) and _is_gpt2(config):
        return Export(configuration=_gpt2(config), weights=gpt2_weights(config, {}), rows=rows)
    found = _llama_like(config) if _is_usual(config) else None
    described = plain_config(bare) if found is None else _llama(bare, *found)
    name = PLAIN_ARCHITECTURE if found is None else found[0]
    return Export(configuration={"architectures": [name], **described}, weights=huggingface_weights(config), rows=rows)


def _is_usual(config: DecoderConfig) -> bool:
    """Whether attention has nothing that neither GPT-2 nor a relative of Llama knows of."""
    return config == replace(config, sinks=False, fixed_sink=None, attention_gate=False, qk_l2_norm=False)


def _is_gpt2(config: DecoderConfig) -> bool:
    return (
        config.norm == "layer"
        and not config.gated
        and gpt2_activation(config.activation) is not None
        and config.rotary is None
        and config.learned_positions == config.max_positions
        and config.num_kv_heads == config.num_heads
        and config.head_dim * config.num_heads == config.hidden_size
        and not any(config.windows)
        and not any(config.sparse)
        and not config.attention_scales
        and config.qkv_bias
        and config.output_bias
        and config.mlp_bias
        and not config.qk_norm
    )


def _gpt2(config: DecoderConfig) -> dict[str, Any]:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocab_size,
        "n_positions": config.max_positions,
        "n_embd": config.hidden_size,
        "n_layer": config.num_layers,
        "n_head": config.num_heads,
        "n_inner": config.intermediate_size,
        "activation_function": gpt2_activation(config.activation),
        "layer_norm_epsilon": config.norm_epsilon,
        "tie_word_embeddings": config.tied,
    }


def _llama_like(config: DecoderConfig) -> tuple[str, type[Relative]] | None:
    """The class that computes a decoder of the Llama family, and what is peculiar to it; None for any other."""
    rotary = config.rotary
    family = (
        config.norm == "rms"
        and config.gated
        and config.activation == "silu"
        and rotary is not None
        and rotary.width is None
        and rotary.scaling != "factors"
        and all(config.rotates)
        and not config.learned_positions
        and not config.attention_scales
        and len(set(config.windows)) == 1
    )
    return next((found for found in relatives() if family and found[1].computes(config)), None)


def _llama(config: DecoderConfig, architecture: str, relative: type[Relative]) -> dict[str, Any]:
    assert config.rotary is not None
    return {
        "model_type": architecture.removesuffix("ForCausalLM").lower(),
        "vocab_size": config.vocab_size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "head_dim": config.head_dim,
        "hidden_act": "silu",
        "max_position_embeddings": config.max_positions,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rotary.base,
        "rope_scaling": _rope_scaling(config.rotary),
        "tie_word_embeddings": config.tied,
        **relative.written(config),
    }


def _rope_scaling(rotary: RotaryConfig) -> dict[str, Any] | None:
    if rotary.scaling == "none":
        return None
    values: dict[str, Any] = {"rope_type": rotary.scaling, "factor": rotary.factor}
    if rotary.scaling != "linear":
        values["original_max_position_embeddings"] = rotary.original_positions
    if rotary.scaling == "llama3":
        values |= {"low_freq_factor": rotary.low_frequency, "high_freq_factor": rotary.high_frequency}
    if rotary.scaling == "yarn":
        values |= {
            "beta_fast": rotary.beta_fast,
            "beta_slow": rotary.beta_slow,
            "attention_factor": rotary.attention_factor,
            "truncate": rotary.truncate,
        }
    return values
