"""GPT-NeoX (arXiv:2204.06745), as Pythia has it: attention and MLP beside each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from plugtron.contracts import AttentionMetadata, CheckpointReader, LayerState, ModelDescription, Weight, WeightMap
from plugtron.nn import DecoderConfig, Rotation, TransformerDecoder, TransformerLayer
from plugtron_wrappers.gguf.config import config_from_gguf
from plugtron_wrappers.gguf.metadata import Metadata
from plugtron_wrappers.gguf.weights import gguf_weights
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, activation_of
from plugtron_wrappers.huggingface.names import head_by_head, layer_weights, whole
from plugtron_wrappers.huggingface.rope import rotary_width

__all__ = ["GPTNeoX"]

#: GGUF files do not say it. llama.cpp computes the tanh approximation of what models have been trained with.
_GGUF_ACTIVATION = "gelu"


class GPTNeoXFields(DecoderFields):
    """Defaults are those of transformers."""

    layer_norm_eps: float = Field(default=1e-5, gt=0, lt=1)
    hidden_act: str = "gelu"
    attention_bias: bool = True
    use_parallel_residual: bool = True
    rotary_pct: float = Field(default=0.25, ge=0, le=1)
    rotary_emb_base: float = Field(default=10_000.0, gt=0, lt=1e15)


class ParallelLayer(TransformerLayer):
    """h + attention(norm(h)) + mlp(norm(h))."""

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        attended = self.attention(self.attention_norm(hidden), rotation, state, memory)
        return hidden + attended + self.mlp(self.mlp_norm(hidden))


class ParallelDecoder(TransformerDecoder):
    """Layers whose halves are beside each other."""

    layer_class: ClassVar[type[nn.Module]] = ParallelLayer


class GPTNeoX(Family):
    """Runs GPT-NeoX and Pythia."""

    name = "gpt_neox"
    fields = GPTNeoXFields
    ignored: ClassVar[tuple[str, ...]] = ("*.attention.bias", "*.masked_bias", "*.rotary_emb.inv_freq")

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        # There are as many heads of keys and values, whatever is written.
        fields = fields.model_copy(update={"num_key_value_heads": None})
        plain = plain_decoder(fields, file, norm_epsilon=fields.layer_norm_eps)
        assert plain.rotary is not None
        rotary = plain.rotary
        if not fields.rope_parameters:  # as transformers wrote it before version 5
            rotary = replace(
                rotary, base=fields.rotary_emb_base, width=rotary_width(plain.head_dim, fields.rotary_pct, file)
            )
        return replace(
            plain,
            norm="layer",
            activation=activation_of(fields.hidden_act, file),
            gated=False,
            rotary=rotary,
            qkv_bias=fields.attention_bias,
            output_bias=fields.attention_bias,
            mlp_bias=True,
            parallel=fields.use_parallel_residual,
        )

    def build(self, layers: range) -> TransformerDecoder:
        """Return the decoder with these layers."""
        made = ParallelDecoder if self.config.parallel else TransformerDecoder
        return made(self.config, layers, self.runtime)

    @classmethod
    def configure_gguf(cls, model: ModelDescription, checkpoint: CheckpointReader) -> DecoderConfig:
        """Translate metadata; what llama.cpp takes for granted is not in them."""
        plain = config_from_gguf(model, checkpoint, norm="layer", own=("use_parallel_residual",), partial=True)
        parallel = Metadata.of(model).get("use_parallel_residual", True)
        return replace(plain, activation=_GGUF_ACTIVATION, gated=False, parallel=parallel)

    def gguf_weights(self) -> WeightMap:
        """Names in GGUF files."""
        return gguf_weights(self.config, self.checkpoint.tensors)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        yield from whole(
            self.config, embedding="gpt_neox.embed_in", final_norm="gpt_neox.final_layer_norm", output="embed_out"
        )
        yield from head_by_head(self.config, "gpt_neox.layers.{layer}.attention.query_key_value")
        yield from layer_weights(
            self.config,
            {
                "attention.output": ("attention.dense",),
                "attention_norm": ("input_layernorm",),
                "mlp_norm": ("post_attention_layernorm",),
                "mlp.up": ("mlp.dense_h_to_4h",),
                "mlp.down": ("mlp.dense_4h_to_h",),
            },
            prefix="gpt_neox.layers.{layer}.",
        )
