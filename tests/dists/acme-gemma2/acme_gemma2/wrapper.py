"""The decoder of Gemma 2 (arXiv:2408.00118): norms before and after, soft caps, every other layer with a window."""

import torch

from plugtron.contracts import Weight, WeightMap
from plugtron.execution import DecoderWrapper
from plugtron.nn import Attention, DecoderConfig, GatedMLP, RMSNorm, RotaryConfig, TransformerDecoder

LAYER, STORED = "stack.{layer}.", "model.layers.{layer}."


class Gemma2Layer(torch.nn.Module):
    """h + norm(attention(norm(h))), then h + norm(mlp(norm(h)))."""

    def __init__(self, config, layer, runtime):
        super().__init__()

        def norm():
            return RMSNorm(config.hidden_size, config.norm_epsilon, runtime, offset=config.norm_offset)

        self.attention_norm, self.attention_post_norm, self.mlp_norm, self.mlp_post_norm = (norm() for _ in range(4))
        self.attention = Attention(config, layer, runtime)
        self.mlp = GatedMLP(config, config.intermediate_size, runtime)

    def forward(self, hidden, rotation, state, memory):
        attended = self.attention(self.attention_norm(hidden), rotation, state, memory)
        hidden = hidden + self.attention_post_norm(attended)
        return hidden + self.mlp_post_norm(self.mlp(self.mlp_norm(hidden)))


class Gemma2Decoder(TransformerDecoder):
    """An embedding that is scaled, and logits that are capped softly."""

    layer_class = Gemma2Layer

    def embed(self, tokens, positions):
        hidden = super().embed(tokens, positions)
        return hidden * torch.tensor(hidden.shape[1] ** 0.5, dtype=hidden.dtype)

    def head(self, hidden):
        return 30.0 * torch.tanh(super().head(hidden) / 30.0)


class Gemma2Wrapper(DecoderWrapper):
    """Runs Gemma 2 from Hugging Face folders."""

    decoder_class = Gemma2Decoder

    @classmethod
    def describe(cls, model, checkpoint, options):
        """Translate config.json."""
        read = model.configuration
        layers = read["num_hidden_layers"]
        assert read["final_logit_softcapping"] == 30.0
        return DecoderConfig(
            vocab_size=read["vocab_size"],
            hidden_size=read["hidden_size"],
            intermediate_size=read["intermediate_size"],
            num_layers=layers,
            num_heads=read["num_attention_heads"],
            num_kv_heads=read["num_key_value_heads"],
            head_dim=read["head_dim"],
            max_positions=read["max_position_embeddings"],
            norm_epsilon=read["rms_norm_eps"],
            norm_offset=1.0,
            activation="gelu_tanh",
            rotary=RotaryConfig(base=read["rope_parameters"]["rope_theta"]),
            windows=tuple(
                read["sliding_window"] if kind == "sliding_attention" else None for kind in read["layer_types"]
            ),
            rotates=(True,) * layers,
            attention_scales=(read["query_pre_attn_scalar"] ** -0.5,) * layers,
            attention_soft_cap=read["attn_logit_softcapping"],
            tied=True,
        )

    def weight_map(self, format):
        """Say where the weights are."""
        names = {
            "attention.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            "attention.output": ["self_attn.o_proj"],
            "attention_norm": ["input_layernorm"],
            "attention_post_norm": ["post_attention_layernorm"],
            "mlp_norm": ["pre_feedforward_layernorm"],
            "mlp_post_norm": ["post_feedforward_layernorm"],
            "mlp.gate_up": ["mlp.gate_proj", "mlp.up_proj"],
            "mlp.down": ["mlp.down_proj"],
        }
        layers = [
            Weight(parameter=f"{LAYER}{name}.weight", tensors=tuple(f"{STORED}{stored}.weight" for stored in all_stored))
            for name, all_stored in names.items()
        ]
        words = Weight(parameter="embedding.weight", tensors=("model.embed_tokens.weight",))
        final = Weight(parameter="final_norm.weight", tensors=("model.norm.weight",))
        return WeightMap(weights=(words, final, *layers), ignored=("lm_head.weight",))
