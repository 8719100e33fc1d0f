"""Granite 3 with experts, and PowerMoE (arXiv:2408.13359): a mixture in every layer, and four multipliers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from dataclasses import fields as members
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
from plugtron.nn import DecoderConfig, ExpertsConfig, Rotation, TransformerDecoder, TransformerLayer
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.granite.multipliers import MULTIPLIERS, multipliers_from_gguf
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.experts import check_choice, holds, stacked_experts
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields
from plugtron_wrappers.huggingface.names import layer_weights, whole

__all__ = ["GraniteMoe"]


class GraniteMoeFields(DecoderFields):
    """Defaults are those of transformers."""

    rms_norm_eps: float = Field(default=1e-6, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    attention_bias: bool = False
    num_local_experts: int = Field(default=8, gt=0, lt=2**16)
    num_experts_per_tok: int = Field(default=2, gt=0)
    embedding_multiplier: float = 1.0
    attention_multiplier: float = 1.0
    residual_multiplier: float = 1.0
    logits_scaling: float = Field(default=1.0, gt=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraniteMoeConfig(DecoderConfig):
    """With what embeddings and the halves of layers are multiplied, and logits divided."""

    embedding_multiplier: float
    residual_multiplier: float
    logits_scaling: float


class GraniteMoeLayer(TransformerLayer):
    """h + m · attention(norm(h)), then h + m · experts(norm(h))."""

    def __init__(self, config: GraniteMoeConfig, layer: int, runtime: Runtime) -> None:
        super().__init__(config, layer, runtime)
        self._multiplier = config.residual_multiplier

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        attended = self.attention(self.attention_norm(hidden), rotation, state, memory)
        hidden = hidden + attended * self._multiplier
        return hidden + self.mlp(self.mlp_norm(hidden)) * self._multiplier


class GraniteMoeDecoder(TransformerDecoder):
    """An embedding that is multiplied, and logits that are divided."""

    layer_class: ClassVar[type[nn.Module]] = GraniteMoeLayer
    config: GraniteMoeConfig

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Map ids and positions [T] to hidden states [T, H]."""
        return super().embed(tokens, positions) * self.config.embedding_multiplier

    def head(self, hidden: Tensor) -> Tensor:
        """Map hidden states [N, H] to this rank's logits [N, V / tp]."""
        return super().head(hidden) / self.config.logits_scaling


class GraniteMoe(Family):
    """Runs Granite 3 with experts, and PowerMoE."""

    name = "granite_moe"
    fields = GraniteMoeFields
    decoder_class = GraniteMoeDecoder

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        check_choice(file, fields.num_experts_per_tok, fields.num_local_experts)
        plain = plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps)
        experts = ExpertsConfig(
            count=fields.num_local_experts, top_k=fields.num_experts_per_tok, size=fields.intermediate_size
        )
        own = {
            "sparse": (True,) * plain.num_layers,
            "experts": experts,
            "qkv_bias": fields.attention_bias,
            "output_bias": fields.attention_bias,
            "attention_scales": (fields.attention_multiplier,) * plain.num_layers,
            "embedding_multiplier": fields.embedding_multiplier,
            "residual_multiplier": fields.residual_multiplier,
            "logits_scaling": fields.logits_scaling,
        }
        return GraniteMoeConfig(**{**{each.name: getattr(plain, each.name) for each in members(plain)}, **own})

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata."""
        plain = config_from_gguf(model, checkpoint, own=MULTIPLIERS, score="softmax_chosen")
        multipliers = multipliers_from_gguf(model)
        own = {
            "attention_scales": (multipliers["attention.scale"] or plain.head_dim**-0.5,) * plain.num_layers,
            "embedding_multiplier": multipliers["embedding_scale"],
            "residual_multiplier": multipliers["residual_scale"],
            "logits_scaling": multipliers["logit_scale"],
        }
        return GraniteMoeConfig(**{**{each.name: getattr(plain, each.name) for each in members(plain)}, **own})

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors, permuted=True)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        yield from whole(self.config)
        yield from layer_weights(
            self.config,
            {
                "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                "attention.output": ("self_attn.o_proj",),
                "attention_norm": ("input_layernorm",),
                "mlp_norm": ("post_attention_layernorm",),
            },
        )
        # Published folders have the names of an older implementation.
        older = holds(self.checkpoint, ".block_sparse_moe.input_linear.weight")
        mixture = "model.layers.{layer}.block_sparse_moe"
        router = "block_sparse_moe.router.layer" if older else "block_sparse_moe.router"
        yield from layer_weights(self.config, {"mlp.router": (router,)})
        if older:
            yield from stacked_experts(self.config, f"{mixture}.input_linear.weight", f"{mixture}.output_linear.weight")
        else:
            yield from stacked_experts(self.config, f"{mixture}.experts.gate_up_proj", f"{mixture}.experts.down_proj")
