"""Small models with random weights in the configurations that the wrappers run, saved by transformers itself.

The weights are scaled, and the seeds chosen, so that greedy decoding neither stands still nor comes near a tie: the
parity tests assert both.
"""

import torch
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    GraniteMoeConfig,
    GraniteMoeForCausalLM,
    Llama4ForCausalLM,
    Llama4TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

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
        Qwen2MoeConfig,
        Qwen2MoeForCausalLM,
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
    "gemma2": (
        Gemma2ForCausalLM,
        Gemma2Config,
        {"head_dim": 24, "sliding_window": 16, "query_pre_attn_scalar": 20, "attn_logit_softcapping": 10.0},
        36,
        {"embed_tokens": 0.15, "post_": 2.0, "model.norm": 6.0},
    ),
    "gpt_neox": (GPTNeoXForCausalLM, GPTNeoXConfig, {"rotary_pct": 0.5}, 5),
    "gpt_neox_sequential": (
        GPTNeoXForCausalLM,
        GPTNeoXConfig,
        {"use_parallel_residual": False, "attention_bias": False},
        4,
    ),
    "qwen3_moe": (
        Qwen3MoeForCausalLM,
        Qwen3MoeConfig,
        {"head_dim": 16, "num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 64},
        0,
    ),
    "qwen3_moe_mixed": (  # layers 1 and 5 have experts
        Qwen3MoeForCausalLM,
        Qwen3MoeConfig,
        {
            "num_hidden_layers": 6,
            "num_experts": 64,
            "num_experts_per_tok": 8,
            "moe_intermediate_size": 48,
            "norm_topk_prob": True,
            "decoder_sparse_step": 2,
            "mlp_only_layers": [3],
            "attention_bias": True,
            "use_sliding_window": True,
            "sliding_window": 16,
            "tie_word_embeddings": True,
        },
        1,
    ),
    "qwen2_moe": (
        Qwen2MoeForCausalLM,
        Qwen2MoeConfig,
        {"num_experts": 8, "moe_intermediate_size": 64, "shared_expert_intermediate_size": 96},
        0,
    ),
    "qwen2_moe_mixed": (
        Qwen2MoeForCausalLM,
        Qwen2MoeConfig,
        {
            "hidden_size": 72,
            "num_attention_heads": 6,
            "num_experts": 7,
            "num_experts_per_tok": 3,
            "moe_intermediate_size": 40,
            "shared_expert_intermediate_size": 56,
            "norm_topk_prob": True,
            "decoder_sparse_step": 2,
            "qkv_bias": False,
            "use_sliding_window": True,
            "sliding_window": 16,
            "max_window_layers": 2,
        },
        5,
    ),
    "granite_moe": (
        GraniteMoeForCausalLM,
        GraniteMoeConfig,
        {
            "intermediate_size": 64,
            "attention_multiplier": 0.3,
            "embedding_multiplier": 3.0,
            "residual_multiplier": 0.6,
            "logits_scaling": 2.0,
            "num_local_experts": 8,
            "num_experts_per_tok": 3,
            "tie_word_embeddings": True,
        },
        1,
        {"embed_tokens": 0.1, "model.norm": 6.0},
    ),
    "granite_moe_biases": (
        GraniteMoeForCausalLM,
        GraniteMoeConfig,
        {"hidden_size": 72, "num_attention_heads": 6, "intermediate_size": 40, "attention_bias": True},
        2,
    ),
    "gpt_oss": (
        GptOssForCausalLM,
        GptOssConfig,
        {"head_dim": 16, "intermediate_size": 64, "num_local_experts": 8, "sliding_window": 16, "swiglu_limit": 1.5},
        3,
    ),
    "gpt_oss_odd": (
        GptOssForCausalLM,
        GptOssConfig,
        {
            "hidden_size": 72,
            "num_attention_heads": 6,
            "head_dim": 20,
            "intermediate_size": 40,
            "num_local_experts": 5,
            "num_experts_per_tok": 2,
            "attention_bias": False,
            "layer_types": ["full_attention", "sliding_attention", "sliding_attention", "full_attention"],
            "sliding_window": 16,
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            "tie_word_embeddings": True,
        },
        1,
    ),
    "llama4": (
        Llama4ForCausalLM,
        Llama4TextConfig,
        {
            "head_dim": 16,
            "intermediate_size": 64,
            "intermediate_size_mlp": 96,
            "num_local_experts": 8,
            "attention_chunk_size": 16,
            "floor_scale": 8,
            "attn_scale": 0.7,
        },
        2,
    ),
    "llama4_mixed": (
        Llama4ForCausalLM,
        Llama4TextConfig,
        {
            "head_dim": 12,
            "hidden_size": 72,
            "num_attention_heads": 6,
            "intermediate_size": 40,
            "intermediate_size_mlp": 56,
            "num_local_experts": 3,
            "interleave_moe_layer_step": 2,
            "no_rope_layers": [0, 1, 1, 0],
            "attention_chunk_size": 24,
            "use_qk_norm": False,
            "attn_temperature_tuning": False,
            "attention_bias": True,
            "tie_word_embeddings": True,
            "rope_parameters": {**LLAMA3},
        },
        3,
    ),
    "gpt2": (GPT2LMHeadModel, GPT2Config, {}, 56),
    "gpt2_odd": (GPT2LMHeadModel, GPT2Config, GPT2_ODD, 57),
    "gpt2_relu": (GPT2LMHeadModel, GPT2Config, {"activation_function": "relu", "n_head": 4}, 97),
}


def make(name):
    """Build a model with random weights, float32, every bias and norm away from its neutral value."""
    model_class, config_class, differences, seed, *factors = MODELS[name]
    torch.manual_seed(seed)
    common = GPT2 if config_class is GPT2Config else COMMON
    model = model_class._from_config(config_class(**{**common, **differences}), attn_implementation="eager")
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
