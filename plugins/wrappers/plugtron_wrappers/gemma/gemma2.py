"""Gemma 2 (arXiv:2408.00118): norms before and after, soft caps, every other layer with a window."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar, Literal

import torch
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
from plugtron.nn import Attention, DecoderConfig, GatedMLP, RMSNorm, Rotation, TransformerDecoder
from plugtron_wrappers.gguf.config import config_from_gguf, windows_from_gguf
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.gguf.weights import NORMS, gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, windows_of
from plugtron_wrappers.huggingface.names import LLAMA_LAYER, layer_weights, whole

__all__ = ["GGUF_NORMS", "LAYER_NAMES", "Gemma2", "Gemma2Decoder"]

#: What llama.cpp takes for granted: a window in every other layer, what scores and logits are capped at where a file
#: does not say it, and how many layers the model has whose scores are scaled by another width than a head's.
_GGUF_PATTERN, _GGUF_CAPS, _LAYERS_OF_27B = 2, (50.0, 30.0), 46
#: Norms of a layer, and their names in GGUF files, whose weights have 1 added to them.
GGUF_NORMS: Mapping[str, str] = {
    **NORMS,
    "attention_post_norm": "post_attention_norm",
    "mlp_post_norm": "post_ffw_norm",
}

#: Parameters of a layer, and their names in Hugging Face folders.
LAYER_NAMES: Mapping[str, tuple[str, ...]] = {
    **LLAMA_LAYER,
    "attention_post_norm": ("post_attention_layernorm",),
    "mlp_norm": ("pre_feedforward_layernorm",),
    "mlp_post_norm": ("post_feedforward_layernorm",),
}


class Gemma2Fields(DecoderFields):
    """Defaults are those of transformers."""

    head_dim: int | None = Field(default=256, gt=0, lt=2**16)
    num_key_value_heads: int | None = Field(default=4, gt=0)
    max_position_embeddings: int = Field(default=8192, gt=0, lt=2**31)
    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    hidden_activation: Literal["gelu_pytorch_tanh"] = "gelu_pytorch_tanh"
    attention_bias: Literal[False] = False
    tie_word_embeddings: bool = True
    query_pre_attn_scalar: float = Field(default=256.0, gt=0)
    sliding_window: int | None = Field(default=4096, gt=0, lt=2**31)
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None
    attn_logit_softcapping: float | None = Field(default=50.0, gt=0)
    final_logit_softcapping: float | None = Field(default=30.0, gt=0)
    use_bidirectional_attention: Literal[None, False] = None


class Gemma2Layer(nn.Module):
    """h + norm(attention(norm(h))), then h + norm(mlp(norm(h)))."""

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__()

        def norm() -> RMSNorm:
            return RMSNorm(config.hidden_size, config.norm_epsilon, runtime, offset=config.norm_offset)

        self.attention_norm, self.attention_post_norm, self.mlp_norm, self.mlp_post_norm = (norm() for _ in range(4))
        self.attention = Attention(config, layer, runtime)
        self.mlp = GatedMLP(config, config.intermediate_size, runtime)

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        attended = self.attention(self.attention_norm(hidden), rotation, state, memory)
        hidden = hidden + self.attention_post_norm(attended)
        return hidden + self.mlp_post_norm(self.mlp(self.mlp_norm(hidden)))


class Gemma2Decoder(TransformerDecoder):
    """An embedding that is scaled, in its own dtype, and logits that are capped softly."""

    layer_class: ClassVar[type[nn.Module]] = Gemma2Layer

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Map ids and positions [T] to hidden states [T, H]."""
        hidden = super().embed(tokens, positions)
        return hidden * torch.tensor(hidden.shape[1] ** 0.5, dtype=hidden.dtype)

    def head(self, hidden: Tensor) -> Tensor:
        """Map hidden states [N, H] to this rank's logits [N, V / tp]."""
        logits, cap = super().head(hidden), self.config.logit_soft_cap
        return logits if cap is None else cap * torch.tanh(logits / cap)


class Gemma2(Family):
    """Runs Gemma 2."""

    name = "gemma2"
    fields = Gemma2Fields
    decoder_class = Gemma2Decoder

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        layers = fields.num_hidden_layers
        # Where they are not said, every other layer has a window, beginning with the first.
        kinds = fields.layer_types or [("sliding_attention", "full_attention")[layer % 2] for layer in range(layers)]
        return replace(
            plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps),
            activation="gelu_tanh",
            norm_offset=1.0,
            windows=windows_of(kinds, fields.sliding_window, layers, file),
            attention_scales=(fields.query_pre_attn_scalar**-0.5,) * layers,
            attention_soft_cap=fields.attn_logit_softcapping,
            logit_soft_cap=fields.final_logit_softcapping,
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; what llama.cpp takes for granted is not in them."""
        own = ("attn_logit_softcapping", "final_logit_softcapping", "attention.sliding_window_pattern")
        plain, metadata = config_from_gguf(model, checkpoint, own=own), Metadata.of(model)
        width = plain.hidden_size // plain.num_heads if plain.num_layers == _LAYERS_OF_27B else plain.head_dim
        return replace(
            plain,
            activation="gelu_tanh",
            windows=windows_from_gguf(metadata, plain.num_layers, full_every=_GGUF_PATTERN),
            attention_scales=(width**-0.5,) * plain.num_layers,
            attention_soft_cap=metadata.get("attn_logit_softcapping", _GGUF_CAPS[0]),
            logit_soft_cap=metadata.get("final_logit_softcapping", _GGUF_CAPS[1]),
        )

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors, norms=GGUF_NORMS)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        yield from whole(self.config)
        yield from layer_weights(self.config, LAYER_NAMES)
