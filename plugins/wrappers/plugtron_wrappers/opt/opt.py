"""OPT (arXiv:2205.01068), Galactica too: learned positions, norms before or after, an embedding of its own width."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field
from torch import Tensor, nn

from plugtron.contracts import AttentionMetadata, LayerState, Runtime, Section, Weight
from plugtron.nn import DecoderConfig, ReplicatedLinear, Rotation, TransformerDecoder, TransformerLayer
from plugtron_wrappers.huggingface.decoder import plain_decoder
from plugtron_wrappers.huggingface.family import Family
from plugtron_wrappers.huggingface.fields import DecoderFields, activation_of
from plugtron_wrappers.huggingface.names import layer_weights, whole
from plugtron_wrappers.weight_rules import linear

__all__ = ["OPT"]

#: Rows before that of the first position, which nobody looks up.
_OFFSET = 2


class OPTFields(DecoderFields):
    """Defaults are those of transformers."""

    vocab_size: int = Field(default=50272, gt=0, lt=2**24)
    hidden_size: int = Field(default=768, gt=0, lt=2**20)
    intermediate_size: int = Field(default=3072, gt=0, lt=2**22, validation_alias="ffn_dim")
    num_hidden_layers: int = Field(default=12, gt=0, lt=10_000)
    num_attention_heads: int = Field(default=12, gt=0, lt=2**16)
    word_embed_proj_dim: int | None = Field(default=None, gt=0, lt=2**20)
    activation_function: str = "relu"
    do_layer_norm_before: bool = True
    remove_final_layer_norm: bool = Field(default=False, validation_alias="_remove_final_layer_norm")
    layer_norm_elementwise_affine: bool = True
    enable_bias: bool = True
    tie_word_embeddings: bool = True


class PostNormLayer(TransformerLayer):
    """norm(h + attention(h)), then norm(h + mlp(h))."""

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        hidden = self.attention_norm(hidden + self.attention(hidden, rotation, state, memory))
        return self.mlp_norm(hidden + self.mlp(hidden))


class OPTDecoder(TransformerDecoder):
    """An embedding that may be of another width than what layers map, and a final norm that may be left out."""

    def __init__(self, config: DecoderConfig, layers: range, runtime: Runtime) -> None:
        super().__init__(config, layers, runtime)
        self.project_in = self.project_out = None
        if config.embedding_size is not None and layers.start == 0:
            self.project_in = ReplicatedLinear(config.embedding_size, config.hidden_size, runtime)
        if config.embedding_size is not None and layers.stop == config.num_layers:
            self.project_out = ReplicatedLinear(config.hidden_size, config.embedding_size, runtime)

    def embed(self, tokens: Tensor, positions: Tensor) -> Tensor:
        """Map ids and positions [T] to hidden states [T, H]."""
        assert self.embedding is not None, "only the first range of layers has the embedding"
        assert self.positions is not None
        hidden = self.embedding(tokens)
        if self.project_in is not None:
            hidden = self.project_in(hidden)
        return hidden + self.positions(positions)

    def final_states(self, hidden: Tensor) -> Tensor:
        """Map hidden states [N, H] to what is projected to logits, of the embedding's width."""
        hidden = super().final_states(hidden)
        return hidden if self.project_out is None else self.project_out(hidden)


class PostNormDecoder(OPTDecoder):
    """Layers that end with a norm."""

    layer_class: ClassVar[type[nn.Module]] = PostNormLayer


class OPT(Family):
    """Runs OPT and Galactica."""

    name = "opt"
    fields = OPTFields
    ignored: ClassVar[tuple[str, ...]] = ("model.decoder.version", "decoder.version")

    @classmethod
    def configure(cls, fields: Any, file: str) -> DecoderConfig:
        """Translate config.json."""
        # There are as many heads of keys and values, whatever is written.
        fields = fields.model_copy(update={"num_key_value_heads": None})
        layers, width = fields.num_hidden_layers, fields.word_embed_proj_dim
        norm_place = "branch" if fields.do_layer_norm_before else "sum"
        return replace(
            plain_decoder(fields, file, norm_epsilon=1e-5),
            embedding_size=None if width == fields.hidden_size else width,
            learned_positions=fields.max_position_embeddings,
            norm="layer",
            norm_place=norm_place,
            norm_weight=fields.layer_norm_elementwise_affine,
            norm_bias=fields.layer_norm_elementwise_affine,
            # Layers that end with a norm need no other.
            final_norm=fields.do_layer_norm_before and not fields.remove_final_layer_norm,
            activation=activation_of(fields.activation_function, file, "activation_function"),
            gated=False,
            rotary=None,
            rotates=(False,) * layers,
            qkv_bias=fields.enable_bias,
            output_bias=fields.enable_bias,
            mlp_bias=fields.enable_bias,
        )

    def build(self, layers: range) -> TransformerDecoder:
        """Return the decoder with these layers."""
        made = PostNormDecoder if self.config.norm_place == "sum" else OPTDecoder
        return made(self.config, layers, self.runtime)

    def weights(self) -> Iterator[Weight]:
        """Names in Hugging Face folders."""
        config, prefix = self.config, "model.decoder."
        yield from whole(config, embedding=f"{prefix}embed_tokens", final_norm=f"{prefix}final_layer_norm")
        rows = config.learned_positions
        table = Section(tensor=f"{prefix}embed_positions.weight", total=rows + _OFFSET, first=_OFFSET, run=rows)
        yield Weight(parameter="positions.weight", tensors=(table,))
        if config.embedding_size is not None:
            for projection in ("project_in", "project_out"):
                yield from linear(projection, (f"{prefix}{projection}",), bias=False)
        yield from layer_weights(
            config,
            {
                "attention.qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
                "attention.output": ("self_attn.out_proj",),
                "attention_norm": ("self_attn_layer_norm",),
                "mlp_norm": ("final_layer_norm",),
                "mlp.up": ("fc1",),
                "mlp.down": ("fc2",),
            },
            prefix=f"{prefix}layers.{{layer}}.",
        )
