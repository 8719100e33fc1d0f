"""The decoder of GPT-NeoX: attention and MLP look at the same hidden states, and both are added to them."""

from plugtron.contracts import Section, Weight, WeightMap
from plugtron.execution import DecoderWrapper
from plugtron.nn import DecoderConfig, RotaryConfig, TransformerDecoder, TransformerLayer

LAYER, STORED = "stack.{layer}.", "gpt_neox.layers.{layer}."
ACTIVATIONS = {"gelu": "gelu", "gelu_new": "gelu_tanh", "gelu_fast": "gelu_tanh", "relu": "relu"}


class NeoXLayer(TransformerLayer):
    """h + attention(norm(h)) + mlp(norm(h))."""

    def forward(self, hidden, rotation, state, memory):
        attended = self.attention(self.attention_norm(hidden), rotation, state, memory)
        return hidden + attended + self.mlp(self.mlp_norm(hidden))


class NeoXDecoder(TransformerDecoder):
    """The same embedding and head as any other's."""

    layer_class = NeoXLayer


class NeoXWrapper(DecoderWrapper):
    """Runs GPT-NeoX from Hugging Face folders."""

    decoder_class = NeoXDecoder

    @classmethod
    def describe(cls, model, checkpoint, options):
        """Translate config.json."""
        read = model.configuration
        layers, heads, rope = read["num_hidden_layers"], read["num_attention_heads"], read["rope_parameters"]
        head_dim = read["hidden_size"] // heads
        return DecoderConfig(
            vocab_size=read["vocab_size"],
            hidden_size=read["hidden_size"],
            intermediate_size=read["intermediate_size"],
            num_layers=layers,
            num_heads=heads,
            num_kv_heads=heads,
            head_dim=head_dim,
            max_positions=read["max_position_embeddings"],
            norm="layer",
            norm_epsilon=read["layer_norm_eps"],
            activation=ACTIVATIONS[read["hidden_act"]],
            gated=False,
            rotary=RotaryConfig(base=rope["rope_theta"], width=int(head_dim * rope["partial_rotary_factor"])),
            windows=(None,) * layers,
            rotates=(True,) * layers,
            qkv_bias=True,
            output_bias=True,
            mlp_bias=True,
            tied=read["tie_word_embeddings"],
        )

    def weight_map(self, format):  # noqa: A002
        """Say where the weights are; queries, keys and values are stored head by head."""
        head, total = self.config.head_dim, 3 * self.config.hidden_size
        names = {
            "attention_norm": "input_layernorm",
            "mlp_norm": "post_attention_layernorm",
            "attention.output": "attention.dense",
            "mlp.up": "mlp.dense_h_to_4h",
            "mlp.down": "mlp.dense_4h_to_h",
        }
        weights = [
            Weight(parameter="embedding.weight", tensors=("gpt_neox.embed_in.weight",)),
            Weight(parameter="final_norm.weight", tensors=("gpt_neox.final_layer_norm.weight",)),
            Weight(parameter="final_norm.bias", tensors=("gpt_neox.final_layer_norm.bias",)),
        ]
        if not self.config.tied:
            weights.append(Weight(parameter="output.weight", tensors=("embed_out.weight",)))
        for kind in ("weight", "bias"):
            fused = STORED + f"attention.query_key_value.{kind}"
            parts = tuple(
                Section(tensor=fused, total=total, first=part * head, run=head, stride=3 * head) for part in range(3)
            )
            weights.append(Weight(parameter=f"{LAYER}attention.qkv.{kind}", tensors=parts))
            weights += [
                Weight(parameter=f"{LAYER}{name}.{kind}", tensors=(f"{STORED}{stored}.{kind}",))
                for name, stored in names.items()
            ]
        return WeightMap(weights=tuple(weights), ignored=("*.attention.bias", "*.masked_bias", "*.rotary_emb.inv_freq"))
