"""Random weights in the shapes of known models: for benchmarks of speed where no checkpoint can be had."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from plugtron.contracts import CheckpointReader, ModelDescription
from plugtron.contracts.checkpoint import TensorInfo

__all__ = ["SHAPES", "RandomLlama"]

_LLAMA3 = {"vocab_size": 128_256, "rope_theta": 500_000.0, "max_position_embeddings": 8192, "rms_norm_eps": 1e-5}
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
    "smollm2-135m": {
        "vocab_size": 49_152,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_hidden_layers": 30,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
    #: For trying the benchmark out.
    "tiny": {
        "vocab_size": 320,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
    },
}
#: As many different numbers as there are: all tensors are made of the same.
_DIFFERENT = 1 << 22


class RandomLlama(CheckpointReader):
    """A Llama of one of SHAPES, as a Hugging Face folder would hold it."""

    def __init__(self, shape: str) -> None:
        super().__init__(Path(shape))
        self._configuration = SHAPES[shape]
        generator = torch.Generator().manual_seed(1234)
        self._numbers = (torch.randn(_DIFFERENT, generator=generator) * 0.02).to(torch.bfloat16)

    @classmethod
    def describe(cls, path: Path) -> ModelDescription | None:
        """Any of SHAPES."""
        if str(path) not in SHAPES:
            return None
        configuration = {"model_type": "llama", "hidden_act": "silu", "rms_norm_eps": 1e-5, **SHAPES[str(path)]}
        return ModelDescription(
            format="huggingface", path=path, architecture="LlamaForCausalLM", configuration=configuration
        )

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """All of them."""
        own = self._configuration
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
        shapes = {"model.embed_tokens": (vocabulary, hidden), "model.norm": (hidden,)}
        if not own.get("tie_word_embeddings"):
            shapes["lm_head"] = (vocabulary, hidden)
        for number in range(own["num_hidden_layers"]):
            shapes |= {f"model.layers.{number}.{name}": shape for name, shape in layer.items()}
        return {
            f"{name}.weight": TensorInfo(shape=shape, dtype="BF16", file=self.path) for name, shape in shapes.items()
        }

    def read(self, name: str, part: tuple[slice, ...] = ()) -> torch.Tensor:
        """Numbers of a normal distribution; ones for norms."""
        shape = self.tensors[name].shape
        if len(shape) == 1:
            return torch.ones(shape, dtype=torch.bfloat16)[part]
        size = shape[0] * shape[1]
        repeated = self._numbers.expand(-(-size // _DIFFERENT), -1).reshape(-1)[:size]
        return repeated.view(shape)[part]
