"""Small models with random weights in the configurations that the wrappers run, saved by transformers itself.

The weights are scaled, and the seeds chosen, so that greedy decoding neither stands still nor comes near a tie: the
parity tests assert both.
"""

import pytest
import torch
from transformers import (
    FalconConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GptOssForCausalLM,
    Llama4ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from support import family_models, mixture_models

VOCAB = 320
COMMON = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
GPT2 = {
    "vocab_size": VOCAB,
    "n_embd": 64,
    "n_layer": 4,
    "n_head": 8,
    "n_positions": 256,
    "bos_token_id": None,
    "eos_token_id": None,
}
GPT2_ODD = {
    "n_inner": 160,
    "activation_function": "gelu",
    "scale_attn_by_inverse_layer_idx": True,
    "scale_attn_weights": False,
    "tie_word_embeddings": False,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 64}
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.0}

#: name: (model class, configuration class, differences from COMMON, seed, perhaps by what parameters are multiplied)
MODELS = {
    "llama_untied": (LlamaForCausalLM, LlamaConfig, {"tie_word_embeddings": False}, 14),
    "llama_tied": (LlamaForCausalLM, LlamaConfig, {"tie_word_embeddings": True}, 2),
    "llama_llama3_rope": (LlamaForCausalLM, LlamaConfig, {"rope_parameters": LLAMA3}, 29),
    "llama_head_dim": (LlamaForCausalLM, LlamaConfig, {"head_dim": 32}, 4),
    "llama_biases": (LlamaForCausalLM, LlamaConfig, {"attention_bias": True, "mlp_bias": True}, 5),
    "llama_yarn": (LlamaForCausalLM, LlamaConfig, {"rope_parameters": YARN, "max_position_embeddings": 256}, 6),
    "llama_linear_rope": (LlamaForCausalLM, LlamaConfig, {"rope_parameters": LINEAR}, 7),
    "mistral": (MistralForCausalLM, MistralConfig, {"sliding_window": None}, 8),
    "mistral_window": (MistralForCausalLM, MistralConfig, {"sliding_window": 16}, 48),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config, {}, 36),
    "qwen2_window": (
        Qwen2ForCausalLM,
        Qwen2Config,
        {"use_sliding_window": True, "sliding_window": 16, "max_window_layers": 2},
        11,
    ),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config, {"head_dim": 16, "tie_word_embeddings": True}, 25),
    "smollm3": (SmolLM3ForCausalLM, SmolLM3Config, {"no_rope_layer_interval": 2}, 39),
    "mixtral": (MixtralForCausalLM, MixtralConfig, {"num_local_experts": 4, "sliding_window": None}, 54),
    "mixtral_window": (
        MixtralForCausalLM,
        MixtralConfig,
        {"num_local_experts": 6, "num_experts_per_tok": 3, "sliding_window": 16},
        56,
    ),
    "gpt2": (GPT2LMHeadModel, GPT2Config, {}, 56),
    "gpt2_odd": (GPT2LMHeadModel, GPT2Config, GPT2_ODD, 57),
    "gpt2_relu": (GPT2LMHeadModel, GPT2Config, {"activation_function": "relu", "n_head": 4}, 97),
    **family_models.MODELS,
    **mixture_models.MODELS,
}


#: One of each class of transformers that is no relative of Llama, and all that are; the others are for `make test-all`.
FIRST = {model_class: name for name, (model_class, *_) in reversed(MODELS.items())}
WIDE = {
    name
    for name, (model_class, *_) in MODELS.items()
    if FIRST[model_class] != name and name in {**family_models.MODELS, **mixture_models.MODELS}
}


def every():
    """All of them, as a test's parameters."""
    return [pytest.param(name, marks=[pytest.mark.wide] if name in WIDE else []) for name in MODELS]


def make(name, *, seed=None, **changes):
    """Build a model with random weights, float32, every bias and norm away from its neutral value."""
    model_class, config_class, differences, usual, *factors = MODELS[name]
    torch.manual_seed(usual if seed is None else seed)
    common = GPT2 if config_class is GPT2Config else COMMON
    config = config_class(**{**common, **differences, **changes})
    # transformers' eager attention of Falcon adds ALiBi to the scores twice, in itself and in the mask.
    attention = "sdpa" if config_class is FalconConfig and config.alibi else "eager"
    model = model_class._from_config(config, attn_implementation=attention)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            owner = model.get_submodule(parameter_name.rpartition(".")[0])
            factor = next((value for part, value in dict(*factors).items() if part in parameter_name), 1.0)
            if "Norm" in type(owner).__name__ and parameter_name.endswith("weight"):
                neutral = parameter.mean().item()  # 0 for those that hold the difference from 1
                parameter.normal_(factor - 1 + neutral, 0.2)
                continue
            if parameter_name.endswith(("bias", "sinks")) or parameter.dim() == 1:
                parameter.normal_(0.0, 0.2)
            elif isinstance(owner, torch.nn.Embedding):
                parameter.normal_(0.0, 1.0)
            elif owner is model.get_output_embeddings():
                parameter.normal_(0.0, 0.5)
            else:
                # GPT-2 stores inputs first, as do some mixtures of experts.
                turned = ".c_" in parameter_name or (
                    parameter.dim() == 3 and isinstance(model, GptOssForCausalLM | Llama4ForCausalLM)
                )
                inputs = parameter.shape[-2 if turned else -1]
                parameter.normal_(0.0, 2.0 * inputs**-0.5)
            parameter.mul_(factor)
    return model.eval()


def prompts(count=8, vocab=VOCAB):
    """Prompts of unequal lengths, the first of one token."""
    generator = torch.Generator().manual_seed(99)
    lengths = [1, 5, 9, 17, 23, 30, 41, 60][:count]
    return [torch.randint(0, vocab, (length,), generator=generator).tolist() for length in lengths]
