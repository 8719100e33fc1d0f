"""GLM-4 of 2025 (GLM-4-0414): norms before and after attention and MLP."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from plugtron.contracts import AttentionMetadata, LayerState, Runtime
from plugtron.nn import DecoderConfig, RMSNorm, Rotation, TransformerDecoder, TransformerLayer
from plugtron_wrappers.gguf.weights import NORMS
from plugtron_wrappers.glm.glm import GLM

__all__ = ["GLM4"]


class GLM4Layer(TransformerLayer):
    """h + norm(attention(norm(h))), then h + norm(mlp(norm(h)))."""

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__(config, layer, runtime)
        self.attention_post_norm = RMSNorm(config.hidden_size, config.norm_epsilon, runtime)
        self.mlp_post_norm = RMSNorm(config.hidden_size, config.norm_epsilon, runtime)

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        attended = self.attention(self.attention_norm(hidden), rotation, state, memory)
        hidden = hidden + self.attention_post_norm(attended)
        return hidden + self.mlp_post_norm(self.mlp(self.mlp_norm(hidden)))


class GLM4Decoder(TransformerDecoder):
    """Layers with four norms."""

    layer_class: ClassVar[type[nn.Module]] = GLM4Layer


class GLM4(GLM):
    """Runs GLM-4 of 2025."""

    name = "glm4"
    decoder_class = GLM4Decoder
    norms: ClassVar[dict[str, tuple[str, ...]]] = {
        "attention_norm": ("input_layernorm",),
        "attention_post_norm": ("post_self_attn_layernorm",),
        "mlp_norm": ("post_attention_layernorm",),
        "mlp_post_norm": ("post_mlp_layernorm",),
    }
    gguf_norms: ClassVar[Mapping[str, str]] = {
        **NORMS,
        "attention_post_norm": "post_attention_norm",
        "mlp_post_norm": "post_ffw_norm",
    }
