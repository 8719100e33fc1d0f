"""Small models of transformers written as GGUF files, as llama.cpp's converter would; see models.py.

Names of tensors are the gguf library's; what is done to tensors, and which keys there are, is written down here.
"""

import gguf
import numpy as np
import torch

from support import models
from support.gguf_files import finish, random_blocks

ARCHITECTURES = {
    "BloomForCausalLM": gguf.MODEL_ARCH.BLOOM,
    "Cohere2ForCausalLM": gguf.MODEL_ARCH.COHERE2,
    "CohereForCausalLM": gguf.MODEL_ARCH.COMMAND_R,
    "Exaone4ForCausalLM": gguf.MODEL_ARCH.EXAONE4,
    "FalconForCausalLM": gguf.MODEL_ARCH.FALCON,
    "GPT2LMHeadModel": gguf.MODEL_ARCH.GPT2,
    "GPTNeoXForCausalLM": gguf.MODEL_ARCH.GPTNEOX,
    "Gemma2ForCausalLM": gguf.MODEL_ARCH.GEMMA2,
    "Gemma3ForCausalLM": gguf.MODEL_ARCH.GEMMA3,
    "Glm4ForCausalLM": gguf.MODEL_ARCH.GLM4,
    "GlmForCausalLM": gguf.MODEL_ARCH.CHATGLM,
    "GptOssForCausalLM": gguf.MODEL_ARCH.GPT_OSS,
    "GraniteForCausalLM": gguf.MODEL_ARCH.GRANITE,
    "GraniteMoeForCausalLM": gguf.MODEL_ARCH.GRANITE_MOE,
    "Llama4ForCausalLM": gguf.MODEL_ARCH.LLAMA4,
    "LlamaForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "Ministral3ForCausalLM": gguf.MODEL_ARCH.MISTRAL3,
    "MixtralForCausalLM": gguf.MODEL_ARCH.LLAMA,
    "Qwen2ForCausalLM": gguf.MODEL_ARCH.QWEN2,
    "Qwen3ForCausalLM": gguf.MODEL_ARCH.QWEN3,
    "SmolLM3ForCausalLM": gguf.MODEL_ARCH.SMOLLM3,
    "NemotronForCausalLM": gguf.MODEL_ARCH.NEMOTRON,
    "Olmo2ForCausalLM": gguf.MODEL_ARCH.OLMO2,
    "Phi3ForCausalLM": gguf.MODEL_ARCH.PHI3,
    "Qwen2MoeForCausalLM": gguf.MODEL_ARCH.QWEN2MOE,
    "Qwen3MoeForCausalLM": gguf.MODEL_ARCH.QWEN3MOE,
    "SeedOssForCausalLM": gguf.MODEL_ARCH.SEED_OSS,
    "Starcoder2ForCausalLM": gguf.MODEL_ARCH.STARCODER2,
}
#: Rotary pairs are neighbors in llama.cpp, and half a head apart in transformers.
#: Whatever is written of groups.
_UNGROUPED = ("BloomForCausalLM", "GPTNeoXForCausalLM")
_PERMUTED = ("LlamaForCausalLM", "MixtralForCausalLM", "Ministral3ForCausalLM", "GraniteForCausalLM")
_PERMUTED = (*_PERMUTED, "GraniteMoeForCausalLM", "SmolLM3ForCausalLM")
#: Norms hold their difference from 1 in transformers.
_OFFSET = ("Gemma2ForCausalLM", "Gemma3ForCausalLM", "NemotronForCausalLM")
#: Experts are stored inputs first in transformers.
_TURNED = ("Llama4ForCausalLM", "GptOssForCausalLM")


def write_model(path, model, *, types=None, arranged=None, vocabulary=False, without=(), **extra):
    """Write a model.

    Args:
        types: what tensors whose names have a part are stored as, with random blocks; others are float32.
        arranged: what is done to all tensors by name.
        vocabulary: with one, which llama.cpp wants.
        without: keys that are left out.
        extra: further keys, under the architecture's name.
    """
    kind = type(model).__name__
    name = gguf.MODEL_ARCH_NAMES[ARCHITECTURES[kind]]
    writer = gguf.GGUFWriter(path, name)
    for key, value in {**metadata(model), **extra}.items():
        if value is not None and key not in without:
            _add(writer, f"{name}.{key}", value)
    if vocabulary:
        _add_vocabulary(writer, model.config.vocab_size)
    stored = dict(tensors(model))
    for seed, (tensor, data) in enumerate((arranged(stored) if arranged else stored).items()):
        dtype = next((dtype for part, dtype in (types or {}).items() if part in tensor), "F32")
        if dtype == "F32":
            writer.add_tensor(tensor, np.ascontiguousarray(data.float().numpy()))
            continue
        rows = random_blocks(data[..., 0].numel(), data.shape[-1], dtype, seed)
        writer.add_tensor(tensor, rows.reshape(*data.shape[:-1], -1), raw_dtype=gguf.GGMLQuantizationType[dtype])
    finish(writer)


def tensors(model):
    """Every tensor by llama.cpp's name."""
    kind, config = type(model).__name__, model.config
    names = gguf.get_tensor_name_map(ARCHITECTURES[kind], config.num_hidden_layers)
    for name, stored in model.state_dict().items():
        if name in ("lm_head.weight", "embed_out.weight") and config.tie_word_embeddings:
            continue
        for changed, tensor in _changed(name, stored, kind, config):
            found = names.get_name(changed, try_suffixes=(".weight", ".bias"))
            assert found, changed
            yield found, tensor
    rope = getattr(config, "rope_parameters", None) or {}
    if rope.get("rope_type") == "llama3":
        yield "rope_freqs.weight", _llama3_factors(rope, _head_dim(config))
    if rope.get("rope_type") == "longrope":
        for length in ("long", "short"):
            yield f"rope_factors_{length}.weight", torch.tensor(rope[f"{length}_factor"])


def _changed(name, tensor, kind, config):
    """A tensor of transformers as those that llama.cpp has for it, under names that the gguf library knows."""
    heads, kv_heads = config.num_attention_heads, getattr(config, "num_key_value_heads", None)
    if kind == "BloomForCausalLM":
        name = name.removeprefix("transformer.")
    if name.endswith("sinks"):
        name += ".weight"
    if kind in _OFFSET and name.endswith("norm.weight"):
        tensor = tensor + 1
    if kind == "GPT2LMHeadModel" and ".c_" in name and name.endswith("weight"):
        tensor = tensor.T
    if kind in _PERMUTED and ("q_proj" in name or "k_proj" in name):
        groups = tensor.unflatten(0, (heads if "q_proj" in name else kv_heads, 2, -1))
        tensor = groups.transpose(1, 2).flatten(0, 2)
    if "query_key_value" in name:
        yield name, _head_by_head(tensor, heads, _falcon_groups(config) if kind == "FalconForCausalLM" else heads)
    elif ".experts." in name:
        yield from _experts(name, tensor, kind)
    else:
        yield name.replace("block_sparse_moe.router.weight", "block_sparse_moe.router.layer.weight"), tensor


def _experts(name, tensor, kind):
    name = name.replace("block_sparse_moe.experts", "mlp.experts")
    bias = name.endswith("_bias")
    ending = ".bias" if bias else ".weight"
    tensor = tensor.transpose(1, 2) if kind in _TURNED and not bias else tensor
    name = name.removesuffix("_bias")
    if "gate_up_proj" not in name:
        yield name + ending, tensor
        return
    parts = (tensor[:, 0::2], tensor[:, 1::2]) if kind == "GptOssForCausalLM" else tensor.chunk(2, dim=1)
    for part, each in zip(("gate_proj", "up_proj"), parts, strict=True):
        yield name.replace("gate_up_proj", part) + ending, each


def _falcon_groups(config):
    return config.num_kv_heads if config.new_decoder_architecture else 1 if config.multi_query else config.num_heads


def _head_by_head(tensor, heads, kv_heads):
    """All queries, all keys and all values, from those of one key-value head after the other."""
    grouped = tensor.unflatten(0, (kv_heads, heads // kv_heads + 2, -1))
    return torch.cat([grouped[:, :-2].flatten(0, 2), grouped[:, -2].flatten(0, 1), grouped[:, -1].flatten(0, 1)])


def _llama3_factors(rope, head_dim):
    plain = 1.0 / rope["rope_theta"] ** (torch.arange(0, head_dim, 2).float() / head_dim)
    turns = rope["original_max_position_embeddings"] * plain / (2 * torch.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    smooth = ((turns - low) / (high - low)).clamp(0, 1)
    return 1 / ((1 - smooth) / rope["factor"] + smooth)


def _head_dim(config):
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def metadata(model):
    """Keys under the architecture's name."""
    kind, config = type(model).__name__, model.config
    get = config.to_dict().get
    rms = get("rms_norm_eps")
    inner = get("intermediate_size_mlp") or get("ffn_hidden_size") or get("n_inner") or get("intermediate_size")
    kv_heads = None if kind in _UNGROUPED else get("num_key_value_heads")
    if kind == "BloomForCausalLM":
        inner = None
    return {
        "block_count": config.num_hidden_layers,
        "context_length": get("max_position_embeddings") or get("n_positions") or 512,
        "embedding_length": config.hidden_size,
        "feed_forward_length": inner or 4 * config.hidden_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": _falcon_groups(config) if kind == "FalconForCausalLM" else kv_heads,
        "attention.key_length": get("head_dim"),
        "attention.value_length": get("head_dim"),
        "attention.layer_norm_rms_epsilon": rms,
        "attention.layer_norm_epsilon": None
        if rms
        else _first(get, "layer_norm_eps", "layer_norm_epsilon", "norm_eps", "norm_epsilon"),
        **_rope(kind, config),
        **_experts_keys(kind, get),
        **_own(kind, config, get),
    }


def _first(get, *names):
    return next(get(name) for name in names if get(name) is not None)


def _rope(kind, config):
    rope = getattr(config, "rope_parameters", None) or {}
    rope = rope.get("full_attention", rope)
    if not rope or kind == "BloomForCausalLM":
        return {}
    share, scaling = rope.get("partial_rotary_factor"), rope.get("rope_type")
    found = {"rope.freq_base": rope["rope_theta"]}
    if share is not None:
        found["rope.dimension_count"] = int(share * _head_dim(config))
    original = rope.get("original_max_position_embeddings")
    if scaling in ("linear", "yarn"):
        found |= {"rope.scaling.type": scaling, "rope.scaling.factor": float(rope["factor"])}
    if scaling == "yarn":
        found |= {
            "rope.scaling.original_context_length": original,
            "rope.scaling.yarn_beta_fast": rope.get("beta_fast"),
            "rope.scaling.yarn_beta_slow": rope.get("beta_slow"),
            "rope.scaling.yarn_log_multiplier": rope.get("mscale_all_dim"),
        }
    if scaling == "longrope":
        stretch = config.max_position_embeddings / config.original_max_position_embeddings
        grown = 1 + np.log(stretch) / np.log(config.original_max_position_embeddings)
        found |= {
            "rope.scaling.attn_factor": float(grown**0.5),
            "rope.scaling.original_context_length": config.original_max_position_embeddings,
        }
    return found


def _experts_keys(kind, get):
    if kind == "LlamaForCausalLM" or not get("num_experts_per_tok"):
        return {}
    sizes = {"Llama4ForCausalLM": "intermediate_size", "GptOssForCausalLM": "intermediate_size"}
    return {
        "expert_count": get("num_local_experts") or get("num_experts"),
        "expert_used_count": get("num_experts_per_tok"),
        "expert_feed_forward_length": get(sizes.get(kind, "moe_intermediate_size")),
        "expert_shared_feed_forward_length": get("shared_expert_intermediate_size"),
        "interleave_moe_layer_step": get("interleave_moe_layer_step"),
    }


def _own(kind, config, get):
    """What a class has beside that."""
    rope = getattr(config, "rope_parameters", None) or {}
    if kind.startswith("Granite"):
        return {
            "attention.scale": config.attention_multiplier,
            "embedding_scale": config.embedding_multiplier,
            "residual_scale": config.residual_multiplier,
            "logit_scale": config.logits_scaling,
        }
    return {
        "attention.sliding_window": None if kind == "MixtralForCausalLM" else get("sliding_window"),
        "attention.temperature_scale": rope.get("llama_4_scaling_beta"),
        "attn_logit_softcapping": get("attn_logit_softcapping"),
        "final_logit_softcapping": get("final_logit_softcapping"),
        "logit_scale": get("logit_scale"),
        "use_parallel_residual": get("use_parallel_residual"),
    }


def _add(writer, key, value):
    kinds = {bool: writer.add_bool, int: writer.add_uint32, float: writer.add_float32, str: writer.add_string}
    kinds[list] = writer.add_array
    kinds[type(value)](key, value)


def _add_vocabulary(writer, size):
    """Three special tokens, and words; as many as there are ids. Texts of bytes might be no characters."""
    tokens = ["<unk>", "<s>", "</s>", *(f"w{number}" for number in range(size - 3))]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(number) for number in range(size)])
    writer.add_token_types([2, 3, 3, *[1] * (size - 3)])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)


#: name: (name in models.py, what has to be different for a GGUF file to be able to say it)
MODELS = {
    "llama": ("llama_llama3_rope", {}),
    "qwen2": ("qwen2", {}),
    "qwen3": ("qwen3", {}),
    "smollm3": ("smollm3", {"no_rope_layer_interval": 4}),
    "mixtral": ("mixtral", {}),
    "seed_oss": ("seed_oss", {}),
    "bloom": ("bloom", {}),
    "command-r": ("cohere", {}),
    "command-r-normed": ("cohere_normed", {"seed": 2, "attention_bias": False, "tie_word_embeddings": True}),
    "cohere2": ("cohere2", {}),
    "exaone4": ("exaone4", {"seed": 3, "head_dim": 8}),
    "exaone4-full": ("exaone4_full", {}),
    "falcon-multi-query": ("falcon_multi_query", {"seed": 3, "num_attention_heads": 6, "hidden_size": 60}),
    "falcon-groups": ("falcon_groups", {"seed": 2, "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
    "falcon-shared-norm": ("falcon_groups_shared_norm", {"seed": 0, "bias": False, "ffn_hidden_size": None}),
    "gpt2": ("gpt2", {}),
    "gptneox": ("gpt_neox", {}),
    "gptneox-sequential": ("gpt_neox_sequential", {"attention_bias": True}),
    "gemma2": ("gemma2", {"query_pre_attn_scalar": 24}),
    "gemma3": ("gemma3", {"query_pre_attn_scalar": 24}),
    "chatglm": ("glm", {"seed": 2, "head_dim": 8}),
    "glm4": ("glm4", {}),
    "gpt-oss": ("gpt_oss", {"seed": 1, "swiglu_limit": 7.0}),
    "granite": ("granite", {}),
    "granitemoe": ("granite_moe", {}),
    "llama4": ("llama4", {"attention_chunk_size": 8192, "floor_scale": 8192, "attn_scale": 0.1}),
    "mistral3": ("ministral3", {}),
    "nemotron": ("nemotron", {"head_dim": None}),
    "nemotron-biases": ("nemotron_biases", {"seed": 0, "hidden_act": "relu2", "tie_word_embeddings": False}),
    "olmo2": ("olmo2", {}),
    "phi3": ("phi3", {}),
    "phi3-longrope": ("phi3_longrope", {}),
    "qwen2moe": ("qwen2_moe", {}),
    "qwen3moe": ("qwen3_moe", {"norm_topk_prob": True}),
    "starcoder2": ("starcoder2", {"sliding_window": None}),
}


def make(name):
    """Build the model of transformers."""
    base, changes = MODELS[name]
    return models.make(base, **changes)
