"""Random weights in the shapes of known models: for benchmarks of speed where no checkpoint can be had."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from plugtron.contracts import CheckpointReader, ModelDescription, TensorInfo

__all__ = ["SHAPES", "RandomModel"]

_LLAMA: dict[str, Any] = {"model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5}
_LLAMA3 = {**_LLAMA, "vocab_size": 128_256, "rope_theta": 500_000.0, "max_position_embeddings": 8192}
#: Configurations in Hugging Face's words.
SHAPES: dict[str, dict[str, Any]] = {
    "llama-3.1-8b": {
        **_LLAMA3,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    },
    "llama-3.2-1b": {
        **_LLAMA3,
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "tie_word_embeddings": True,
    },
    # The model that Megatron-LM tests its inference with has 24 layers of 1152 channels, 16 heads and 128k ids; the
    # rest is in its checkpoint. With one matrix for embedding and head, MLPs of 5504 make it 583 M, beside 4.7 M of
    # positions, which are as many as the benchmark's longest sequences need.
    "gpt-583m": {
        "model_type": "gpt2",
        "vocab_size": 131_072,
        "n_embd": 1152,
        "n_inner": 5504,
        "n_layer": 24,
        "n_head": 16,
        "n_positions": 4096,
    },
    "smollm2-135m": {
        **_LLAMA,
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
    # For trying the benchmark out.
    "tiny": {
        **_LLAMA,
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
    },
    "tiny-gpt": {
        "model_type": "gpt2",
        "vocab_size": 320,
        "n_embd": 96,
        "n_inner": 160,
        "n_layer": 2,
        "n_head": 4,
        "n_positions": 4096,
    },
}
_ARCHITECTURES = {"llama": "LlamaForCausalLM", "gpt2": "GPT2LMHeadModel"}
#: As many different numbers as there are, which all tensors are made of: odd, so that no rows of a matrix are the same.
_DIFFERENT = (1 << 22) + 3


class RandomModel(CheckpointReader):
    """One of SHAPES, as a Hugging Face folder would hold it."""

    def __init__(self, shape: str) -> None:
        super().__init__(Path(shape))
        self.configuration = SHAPES[shape]
        llama = self.configuration["model_type"] == "llama"
        shapes = _llama_tensors(self.configuration) if llama else _gpt_tensors(self.configuration)
        self._tensors = {name: TensorInfo(shape=each, dtype="BF16", file=self.path) for name, each in shapes.items()}

    @classmethod
    def describe(cls, path: Path) -> ModelDescription | None:
        """Any of SHAPES."""
        if str(path) not in SHAPES:
            return None
        configuration = SHAPES[str(path)]
        architecture = _ARCHITECTURES[configuration["model_type"]]
        return ModelDescription(format="huggingface", path=path, architecture=architecture, configuration=configuration)

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All of them."""
        return self._tensors

    @property
    def layer_weights(self) -> int:
        """How many weights each token is multiplied with, the head's aside."""
        shapes = [info.shape for name, info in self.tensors.items() if ".layers." in name or ".h." in name]
        return sum(math.prod(shape) for shape in shapes if len(shape) == 2)

    @property
    def head_weights(self) -> int:
        """How many weights make logits."""
        own = self.configuration
        return own["vocab_size"] * own.get("hidden_size", own.get("n_embd"))

    @cached_property
    def _numbers(self) -> torch.Tensor:
        """As many as the largest tensor and any beginning of one need, made once: to read is to look at them."""
        generator = torch.Generator().manual_seed(1234)
        different = (torch.randn(_DIFFERENT, generator=generator) * 0.02).to(torch.bfloat16)
        largest = max(math.prod(info.shape) for info in self.tensors.values())
        return different.repeat(-(-largest // _DIFFERENT) + 1)

    def read(self, name: str, part: tuple[slice, ...] = ()) -> torch.Tensor:
        """Numbers of a normal distribution, others for every matrix; ones for norms, zeros for biases."""
        shape = self.tensors[name].shape
        if len(shape) == 1:
            return torch.full(shape, float(name.endswith(".weight")), dtype=torch.bfloat16)[part]
        first = zlib.crc32(name.encode()) % _DIFFERENT
        return self._numbers[first : first + math.prod(shape)].view(shape)[part]


def _llama_tensors(own: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    hidden, inner, vocabulary = own["hidden_size"], own["intermediate_size"], own["vocab_size"]
    kv = hidden // own["num_attention_heads"] * own["num_key_value_heads"]
    layer = {
        "self_attn.q_proj": (hidden, hidden),
        "self_attn.k_proj": (kv, hidden),
        "self_attn.v_proj": (kv, hidden),
        "self_attn.o_proj": (hidden, hidden),
        "mlp.gate_proj": (inner, hidden),
        "mlp.up_proj": (inner, hidden),
        "mlp.down_proj": (hidden, inner),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens": (vocabulary, hidden), "model.norm": (hidden,)}
    if not own.get("tie_word_embeddings"):
        shapes["lm_head"] = (vocabulary, hidden)
    for number in range(own["num_hidden_layers"]):
        shapes |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
    return {f"{name}.weight": shape for name, shape in shapes.items()}


def _gpt_tensors(own: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Linear layers are stored inputs first."""
    hidden, inner = own["n_embd"], own["n_inner"]
    layer = {
        "attn.c_attn": (hidden, 3 * hidden),
        "attn.c_proj": (hidden, hidden),
        "mlp.c_fc": (hidden, inner),
        "mlp.c_proj": (inner, hidden),
        "ln_1": (hidden,),
        "ln_2": (hidden,),
    }
    shapes: dict[str, tuple[int, ...]] = {"ln_f": (hidden,)}
    for number in range(own["n_layer"]):
        shapes |= {f"h.{number}.{name}": shape for name, shape in layer.items()}
    weights = {f"transformer.{name}.weight": shape for name, shape in shapes.items()}
    biases = {f"transformer.{name}.bias": shape[-1:] for name, shape in shapes.items()}
    tables = {"wte": (own["vocab_size"], hidden), "wpe": (own["n_positions"], hidden)}
    return {**weights, **biases, **{f"transformer.{name}.weight": shape for name, shape in tables.items()}}
