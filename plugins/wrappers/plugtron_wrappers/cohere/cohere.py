"""Command R of Cohere: attention and MLP beside each other after one norm, and logits that are scaled."""

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
from plugtron.nn import Attention, DecoderConfig, GatedMLP, LayerNorm, Rotation, TransformerDecoder
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields
from plugtron_wrappers.huggingface.names import layer_weights, norm_by_head, whole

__all__ = ["Cohere", "CohereFields"]


class CohereFields(DecoderFields):
    """Defaults are those of transformers."""

    max_position_embeddings: int = Field(default=8192, gt=0, lt=2**31)
    layer_norm_eps: float = Field(default=1e-5, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    tie_word_embeddings: bool = True
    rope_theta: float = Field(default=500_000.0, gt=0, lt=1e15)
    attention_bias: bool = False
    use_qk_norm: bool | None = False
    logit_scale: float = Field(default=0.0625, gt=0)
    partial_rotary_factor: float | None = Field(default=None, ge=1, le=1)
    # What folders of the first days say besides.
    rotary_pct: float = Field(default=1.0, ge=1, le=1)
    position_embedding_type: Literal["rope_gptj"] = "rope_gptj"
    use_gated_activation: Literal[True] = True


class CohereLayer(nn.Module):
    """h + attention(norm(h)) + mlp(norm(h)), by way of the same norm."""

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__()
        self.norm = LayerNorm(config.hidden_size, config.norm_epsilon, runtime)
        self.attention = Attention(config, layer, runtime)
        self.mlp = GatedMLP(config, config.intermediate_size, runtime)

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        normed = self.norm(hidden)
        return hidden + self.attention(normed, rotation, state, memory) + self.mlp(normed)


class CohereDecoder(TransformerDecoder):
    """Those layers, and the scale of logits."""

    layer_class: ClassVar[type[nn.Module]] = CohereLayer

    def head(self, hidden: Tensor) -> Tensor:
        """Map hidden states [N, H] to this rank's logits [N, V / tp]."""
        return super().head(hidden) * self.config.logit_scale


class Cohere(Family):
    """Runs Command R."""

    name = "cohere"
    fields: ClassVar[type[DecoderFields]] = CohereFields
    decoder_class = CohereDecoder
    #: Keys of GGUF files that are read beside those of all families.
    gguf_keys: ClassVar[tuple[str, ...]] = ("logit_scale",)

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        plain = plain_decoder(fields, file, norm_epsilon=fields.layer_norm_eps)
        assert plain.rotary is not None
        return replace(
            plain,
            norm="layer",
            norm_bias=False,
            rotary=replace(plain.rotary, interleaved=True),
            qkv_bias=fields.attention_bias,
            output_bias=fields.attention_bias,
            qk_norm=bool(fields.use_qk_norm),
            qk_norm_by_head=bool(fields.use_qk_norm),
            logit_scale=fields.logit_scale,
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata."""
        plain = config_from_gguf(model, checkpoint, norm="layer", own=cls.gguf_keys)
        assert plain.rotary is not None, "all layers rotate until a family says otherwise"
        return replace(
            plain,
            norm_bias=False,
            rotary=replace(plain.rotary, interleaved=True),
            qk_norm_by_head=plain.qk_norm,
            logit_scale=Metadata.of(model).get("logit_scale", 1.0),
        )

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors, norms={"norm": "attn_norm"})

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        yield from whole(self.config)
        yield from layer_weights(
            self.config,
            {
                "norm": ("input_layernorm",),
                "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                "attention.output": ("self_attn.o_proj",),
                "mlp.gate_up": ("mlp.gate_proj", "mlp.up_proj"),
                "mlp.down": ("mlp.down_proj",),
            },
        )
        if self.config.qk_norm:
            yield norm_by_head("attention.query_norm", "self_attn.q_norm")
            yield norm_by_head("attention.key_norm", "self_attn.k_norm")
