"""StableLM: layer norms, a gated MLP, and heads of which a quarter rotates; in some, both halves of a layer at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import Tensor

from plugtron import Options
from plugtron.contracts import (
    AttentionMetadata,
    CheckpointReader,
    LayerState,
    ModelDescription,
    Rotation,
    Runtime,
    Weight,
    WeightMap,
)
from plugtron.execution import DecoderWrapper
from plugtron.nn import DecoderConfig, RotaryConfig, TransformerDecoder, TransformerLayer
from plugtron_stablelm.fields import StableLMFields

__all__ = ["StableLM"]


class StableLMLayer(TransformerLayer):
    """h + attention(norm(h)), then h + mlp(norm(h)); where parallel, h + attention(n) + mlp(n) with n = norm(h)."""

    def __init__(self, config: DecoderConfig, layer: int, runtime: Runtime) -> None:
        super().__init__(config, layer, runtime)
        self.parallel = config.parallel
        if config.parallel:
            del self.mlp_norm

    def forward(
        self, hidden: Tensor, rotation: Rotation | None, state: LayerState, memory: AttentionMetadata
    ) -> Tensor:
        """Map [T, H] to [T, H]."""
        if not self.parallel:
            return super().forward(hidden, rotation, state, memory)
        normed = self.attention_norm(hidden)
        return hidden + self.attention(normed, rotation, state, memory) + self.mlp(normed)


class StableLMDecoder(TransformerDecoder):
    """Embedding and head are as in any other decoder."""

    layer_class = StableLMLayer


class StableLM(DecoderWrapper):
    """Runs StableLM from Hugging Face folders."""

    decoder_class = StableLMDecoder

    @classmethod
    def describe(cls, model: ModelDescription, checkpoint: CheckpointReader, options: Options) -> DecoderConfig:
        """Translate config.json.

        Raises:
            CheckpointError: a field is wrong, or asks for what is not implemented.
        """
        del checkpoint, options
        fields = StableLMFields.read(model.configuration, str(model.path / "config.json"))
        layers, head_dim = fields.num_hidden_layers, fields.hidden_size // fields.num_attention_heads
        width = int(head_dim * fields.rope.partial_rotary_factor)
        return DecoderConfig(
            vocab_size=fields.vocab_size,
            hidden_size=fields.hidden_size,
            intermediate_size=fields.intermediate_size,
            num_layers=layers,
            num_heads=fields.num_attention_heads,
            num_kv_heads=fields.num_key_value_heads,
            head_dim=head_dim,
            max_positions=fields.max_position_embeddings,
            norm="layer",
            norm_epsilon=fields.layer_norm_eps,
            rotary=RotaryConfig(base=fields.rope.rope_theta, width=width),
            windows=(None,) * layers,
            rotates=(True,) * layers,
            qkv_bias=fields.use_qkv_bias,
            parallel=fields.use_parallel_residual,
            tied=fields.tie_word_embeddings,
        )

    def weight_map(self, format: str) -> WeightMap:  # noqa: A002 - the contract's word for it
        """Say where the parameters stand."""
        del format  # Hugging Face folders are all that `provides` names
        return WeightMap(weights=tuple(self._weights()), ignored=("*.rotary_emb.inv_freq", "lm_head.weight"))

    def _weights(self) -> Iterator[Weight]:
        yield from _stored("embedding", ["model.embed_tokens"], ["weight"])
        yield from _stored("final_norm", ["model.norm"], ["weight", "bias"])
        if not self.config.tied:
            yield from _stored("output", ["lm_head"], ["weight"])
        layer, own = "model.layers.{layer}.", "stack.{layer}."
        norms = {"attention_norm": "input_layernorm", "mlp_norm": "post_attention_layernorm"}
        for name, tensor in norms.items():
            if name == "attention_norm" or not self.config.parallel:
                yield from _stored(own + name, [layer + tensor], ["weight", "bias"])
        qkv = [f"{layer}self_attn.{name}_proj" for name in "qkv"]
        yield from _stored(f"{own}attention.qkv", qkv, ["weight", "bias"] if self.config.qkv_bias else ["weight"])
        yield from _stored(f"{own}attention.output", [f"{layer}self_attn.o_proj"], ["weight"])
        yield from _stored(f"{own}mlp.gate_up", [f"{layer}mlp.gate_proj", f"{layer}mlp.up_proj"], ["weight"])
        yield from _stored(f"{own}mlp.down", [f"{layer}mlp.down_proj"], ["weight"])


def _stored(parameter: str, tensors: Sequence[str], kinds: Sequence[str]) -> Iterator[Weight]:
    """Where a layer's weight, and its bias, stand: in one tensor each, or in several that are stacked."""
    for kind in kinds:
        yield Weight(parameter=f"{parameter}.{kind}", tensors=tuple(f"{tensor}.{kind}" for tensor in tensors))
