"""Which class of transformers computes a decoder, and its config.json; plugtron's own where none does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from plugtron.contracts import Export
from plugtron.nn import DecoderConfig, ExpertsConfig, RotaryConfig
from plugtron_wrappers.huggingface.gpt2 import gpt2_activation, gpt2_weights
from plugtron_wrappers.huggingface.plugtron_config import PLAIN_ARCHITECTURE, plain_config
from plugtron_wrappers.huggingface.weights import huggingface_weights

__all__ = ["export"]

_WORDS: tuple[str, ...] = ("model.embed_tokens.weight", "transformer.wte.weight", "lm_head.weight")


def export(config: DecoderConfig) -> Export:
    """Describe a decoder as a Hugging Face folder, without the padding of its vocabulary."""
    bare = replace(config, padded_vocab_size=None)
    rows = dict.fromkeys(_WORDS, config.vocab_size)
    if _is_gpt2(config):
        return Export(configuration=_gpt2(config), weights=gpt2_weights(config, {}), rows=rows)
    architecture = _llama_like(config)
    described = plain_config(bare) if architecture is None else _llama(bare, architecture)
    name = architecture or PLAIN_ARCHITECTURE
    return Export(configuration={"architectures": [name], **described}, weights=huggingface_weights(config), rows=rows)


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


def _llama_like(config: DecoderConfig) -> str | None:
    """The class that computes a decoder of the Llama family; None for any other."""
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
    if not family:
        return None
    bare = not (config.qkv_bias or config.output_bias or config.mlp_bias or config.qk_norm)
    windowed = config.windows[0] is not None
    if any(config.sparse):
        return "MixtralForCausalLM" if bare and _is_mixtrals(config) else None
    if windowed:
        return "MistralForCausalLM" if bare else None
    if config.qk_norm:
        return None if config.mlp_bias or config.qkv_bias != config.output_bias else "Qwen3ForCausalLM"
    if config.qkv_bias and not config.output_bias and not config.mlp_bias:
        return "Qwen2ForCausalLM" if config.head_dim * config.num_heads == config.hidden_size else None
    return "LlamaForCausalLM" if config.qkv_bias == config.output_bias else None


def _is_mixtrals(config: DecoderConfig) -> bool:
    experts = config.experts
    assert experts is not None
    plain = ExpertsConfig(count=experts.count, top_k=experts.top_k, size=experts.size, score="softmax_chosen")
    return experts == plain and all(config.sparse)


def _llama(config: DecoderConfig, architecture: str) -> dict[str, Any]:
    assert config.rotary is not None
    values: dict[str, Any] = {
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
    }
    if architecture in ("LlamaForCausalLM", "Qwen3ForCausalLM"):
        values["attention_bias"] = config.qkv_bias
    if architecture == "LlamaForCausalLM":
        values["mlp_bias"] = config.mlp_bias
    if architecture in ("MistralForCausalLM", "MixtralForCausalLM"):
        values["sliding_window"] = config.windows[0]
    if architecture == "MixtralForCausalLM" and config.experts is not None:
        values["intermediate_size"] = config.experts.size
        values["num_local_experts"] = config.experts.count
        values["num_experts_per_tok"] = config.experts.top_k
    return values


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
