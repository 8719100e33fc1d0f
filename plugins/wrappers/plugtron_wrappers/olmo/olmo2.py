"""OLMo 2 (arXiv:2501.00656): norms after attention and MLP alone, and of all queries and all keys together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn

from plugtron.contracts import (
    AttentionMetadata,
    CheckpointReader,
    LayerState,
    ModelDescription,
    Runtime,
    Weight,
    WeightMap,
)
from plugtron.errors import CheckpointError
from plugtron.nn import Attention, DecoderConfig, GatedMLP, RMSNorm, Rotation, TransformerDecoder
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields
from plugtron_wrappers.huggingface.names import LLAMA_LAYER, layer_weights, whole

__all__ = ["Olmo2"]

#: Norms of a layer, and their names in GGUF files.
_GGUF_NORMS = {"attention_norm": "post_attention_norm", "mlp_norm": "post_ffw_norm"}


class Olmo2Fields(DecoderFields):
    """Defaults are those of transformers."""

    vocab_size: int = Field(default=50304, gt=0, lt=2**24)
    hidden_size: int = Field(default=4096, gt=0, lt=2**20)
    intermediate_size: int = Field(default=11008, gt=0, lt=2**22)
    num_hidden_layers: int = Field(default=32, gt=0, lt=10_000)
    num_attention_heads: int = Field(default=32, gt=0, lt=2**16)
    rms_norm_eps: float = Field(default=1e-5, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool = False


class Olmo2Layer(nn.Module):
    """h + norm(attention(h)), then h + norm(mlp(h))."""

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__()
        self.attention = Attention(config, layer, runtime)
        self.attention_norm = RMSNorm(config.hidden_size, config.norm_epsilon, runtime)
        self.mlp = GatedMLP(config, config.intermediate_size, runtime)
        self.mlp_norm = RMSNorm(config.hidden_size, config.norm_epsilon, runtime)

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        hidden = hidden + self.attention_norm(self.attention(hidden, rotation, state, memory))
        return hidden + self.mlp_norm(self.mlp(hidden))


class Olmo2Decoder(TransformerDecoder):
    """Layers that look at their hidden states as they are."""

    layer_class: ClassVar[type[nn.Module]] = Olmo2Layer


class Olmo2(Family):
    """Runs OLMo 2. Over tensor ranks its norms of queries and keys are pieces that run through torch."""

    name = "olmo2"
    fields = Olmo2Fields
    decoder_class = Olmo2Decoder

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        return replace(
            plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps),
            qk_norm=True,
            qk_norm_whole=True,
            qkv_bias=fields.attention_bias,
            output_bias=fields.attention_bias,
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata."""
        plain = config_from_gguf(model, checkpoint)
        if any(plain.windows):
            raise CheckpointError(f"{model.path}: olmo2.attention.sliding_window (OLMo 3) is not implemented")
        return replace(plain, qk_norm_whole=True)

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors, norms=_GGUF_NORMS)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        yield from whole(self.config)
        yield from layer_weights(
            self.config,
            {
                **LLAMA_LAYER,
                "attention.query_norm": ("self_attn.q_norm",),
                "attention.key_norm": ("self_attn.k_norm",),
                "attention_norm": ("post_attention_layernorm",),
                "mlp_norm": ("post_feedforward_layernorm",),
            },
        )
