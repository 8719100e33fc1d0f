"""Small models with random weights, in shapes that find mistakes: Hugging Face folders with a tokenizer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

__all__ = ["SHAPES", "write_model", "write_tokenizer"]

_BASE: Mapping[str, Any] = MappingProxyType(
    {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": 260,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 256,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "hidden_act": "silu",
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": 256,
        "eos_token_id": 257,
        "torch_dtype": "float32",
    }
)
#: What each shape changes. Every one can be shared by two ranks.
SHAPES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "plain": {},
        # A vocabulary that is padded, and that two ranks cannot divide.
        "padded": {"vocab_size": 277},
        "tied": {"tie_word_embeddings": True},
        # Fewer ids than its tokenizer has.
        "narrow": {"vocab_size": 257, "eos_token_id": 10},
        # Widths that are no multiple of a register or of a quantization group.
        "odd": {
            "vocab_size": 277,
            "hidden_size": 72,
            "intermediate_size": 100,
            "num_attention_heads": 6,
            "head_dim": 12,
        },
        "one_key_head": {"num_key_value_heads": 1, "num_hidden_layers": 3},
        "biases": {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 4},
    }
)
_LETTERS = 256
_SPECIAL = ("<begin>", "<end>", "<user>", "<assistant>")


def write_tokenizer(folder: Path) -> None:
    """Write a tokenizer.json whose ids are the bytes of the text, and four special tokens after them."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate(alphabet)}
    assert len(vocabulary) == _LETTERS, "one for each byte"
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(_SPECIAL))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))


def write_model(folder: Path, shape: str = "plain", *, seed: int = 0) -> Path:
    """Write a model of one of SHAPES; return its folder.

    Its weights are so large that greedy answers do not stand still.
    """
    config = {**_BASE, **SHAPES[shape]}
    write_tokenizer(folder)
    generator = torch.Generator().manual_seed(seed)
    tensors = {name: _weight(name, size, generator) for name, size in _shapes(config).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    return folder


def _weight(name: str, size: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    numbers = torch.randn(size, generator=generator)
    if name.endswith("norm.weight"):
        return 1 + 0.1 * numbers
    return numbers * (0.1 if len(size) == 1 else 2 * size[-1] ** -0.5)


def _shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The tensors of a Llama, by name."""
    hidden, inner, vocabulary = (config[name] for name in ("hidden_size", "intermediate_size", "vocab_size"))
    query = config["num_attention_heads"] * config["head_dim"]
    key = config["num_key_value_heads"] * config["head_dim"]
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, hidden),
        "model.norm.weight": (hidden,),
    }
    if not config["tie_word_embeddings"]:
        found["lm_head.weight"] = (vocabulary, hidden)
    products = {
        "self_attn.q_proj": (query, hidden, config["attention_bias"]),
        "self_attn.k_proj": (key, hidden, config["attention_bias"]),
        "self_attn.v_proj": (key, hidden, config["attention_bias"]),
        "self_attn.o_proj": (hidden, query, config["attention_bias"]),
        "mlp.gate_proj": (inner, hidden, config["mlp_bias"]),
        "mlp.up_proj": (inner, hidden, config["mlp_bias"]),
        "mlp.down_proj": (hidden, inner, config["mlp_bias"]),
    }
    for layer in range(config["num_hidden_layers"]):
        prefix = f"model.layers.{layer}"
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[f"{prefix}.{norm}.weight"] = (hidden,)
        for name, (outputs, inputs, biased) in products.items():
            found[f"{prefix}.{name}.weight"] = (outputs, inputs)
            if biased:
                found[f"{prefix}.{name}.bias"] = (outputs,)
    return found
