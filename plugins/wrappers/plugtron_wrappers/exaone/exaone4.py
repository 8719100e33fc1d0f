"""EXAONE 4.0 (arXiv:2507.11407): norms after attention and MLP; layers that look at everything do not rotate."""

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
from plugtron_wrappers.gguf.config import config_from_gguf, windows_from_gguf
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, every_other, windows_of
from plugtron_wrappers.huggingface.names import layer_weights, whole

__all__ = ["Exaone4"]

#: Norms of a layer, and their names in GGUF files; a layer without a window in so many, where a file does not say it.
_GGUF_NORMS = {"attention_post_norm": "post_attention_norm", "mlp_post_norm": "post_ffw_norm"}
_GGUF_PATTERN = 4


class Exaone4Fields(DecoderFields):
    """Defaults are those of transformers."""

    num_key_value_heads: int | None = Field(default=32, gt=0)
    rms_norm_eps: float = Field(default=1e-5, gt=0, lt=1)
    hidden_act: Literal["silu"] = "silu"
    sliding_window: int | None = Field(default=4096, gt=0, lt=2**31)
    sliding_window_pattern: int | str | None = 4
    layer_types: list[Literal["full_attention", "sliding_attention"]] | None = None
    reorder_and_qk_norm: Literal[True] = True
    partial_rotary_factor: float | None = Field(default=None, ge=1, le=1)


class Exaone4Layer(nn.Module):
    """h + norm(attention(h)), then h + norm(mlp(h))."""

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__()
        self.attention = Attention(config, layer, runtime)
        self.attention_post_norm = RMSNorm(config.hidden_size, config.norm_epsilon, runtime)
        self.mlp = GatedMLP(config, config.intermediate_size, runtime)
        self.mlp_post_norm = RMSNorm(config.hidden_size, config.norm_epsilon, runtime)

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        hidden = hidden + self.attention_post_norm(self.attention(hidden, rotation, state, memory))
        return hidden + self.mlp_post_norm(self.mlp(hidden))


class Exaone4Decoder(TransformerDecoder):
    """Layers that normalize what they add."""

    layer_class: ClassVar[type[nn.Module]] = Exaone4Layer


class Exaone4(Family):
    """Runs EXAONE 4.0."""

    name = "exaone4"
    fields = Exaone4Fields
    decoder_class = Exaone4Decoder

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        layers = fields.num_hidden_layers
        windows = windows_of(fields.layer_types or _kinds(fields, file), fields.sliding_window, layers, file)
        return replace(
            plain_decoder(fields, file, norm_epsilon=fields.rms_norm_eps),
            qk_norm=True,
            windows=windows,
            # Where no layer has a window, all of them rotate.
            rotates=tuple(fields.sliding_window is None or window is not None for window in windows),
        )

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata."""
        plain = config_from_gguf(model, checkpoint, own=("attention.sliding_window_pattern",))
        windows = windows_from_gguf(Metadata.of(model), plain.num_layers, full_every=_GGUF_PATTERN)
        return replace(
            plain,
            windows=windows,
            # Where no layer has a window, all of them rotate.
            rotates=tuple(not any(windows) or window is not None for window in windows),
        )

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors, norms=_GGUF_NORMS)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        yield from whole(self.config)
        yield from layer_weights(
            self.config,
            {
                "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                "attention.query_norm": ("self_attn.q_norm",),
                "attention.key_norm": ("self_attn.k_norm",),
                "attention.output": ("self_attn.o_proj",),
                "attention_post_norm": ("post_attention_layernorm",),
                "mlp.gate_up": ("mlp.gate_proj", "mlp.up_proj"),
                "mlp.down": ("mlp.down_proj",),
                "mlp_post_norm": ("post_feedforward_layernorm",),
            },
        )


def _kinds(fields: Exaone4Fields, file: str) -> list[str]:
    """The kinds of layers where layer_types does not say them: each so many looks at everything."""
    every = fields.sliding_window_pattern
    if fields.sliding_window is None:
        return ["full_attention"] * fields.num_hidden_layers
    if not isinstance(every, int) or every < 1:
        raise CheckpointError(f"{file}: sliding_window_pattern {every!r} needs layer_types beside it")
    return every_other(fields.num_hidden_layers, every)
