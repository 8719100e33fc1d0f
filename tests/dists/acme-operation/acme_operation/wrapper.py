"""A Llama with a sine in the place of silu."""

from pathlib import Path

import torch

from plugtron.contracts import Weight, WeightMap
from plugtron.execution import DecoderWrapper
from plugtron.nn import CustomOperation, DecoderConfig, GatedMLP, Operation, RotaryConfig
from plugtron.nn import TransformerDecoder, TransformerLayer

LAYER, STORED = "stack.{layer}.", "model.layers.{layer}."


def sine_by_triton(x, y):
    from acme_operation.kernel import sine

    return sine(x, y)


SINE = Operation(
    name="acme_sine",
    reference=lambda x, y: torch.sin(x) * y,
    native=Path(__file__).parent / "sine.cpp",
    triton=sine_by_triton,
)


class SineMLP(GatedMLP):
    def __init__(self, config, size, runtime):
        super().__init__(config, size, runtime)
        self.sine = CustomOperation(SINE)

    def forward(self, hidden):
        gate, up = self.gate_up(hidden).chunk(2, dim=-1)
        return self.down(self.sine(gate, up))


class SineLayer(TransformerLayer):
    def __init__(self, config, layer, runtime):
        super().__init__(config, layer, runtime)
        self.mlp = SineMLP(config, config.intermediate_size, runtime)


class SineDecoder(TransformerDecoder):
    layer_class = SineLayer


class SineWrapper(DecoderWrapper):
    decoder_class = SineDecoder

    @classmethod
    def describe(cls, model, checkpoint, options):
        read = model.configuration
        layers = read["num_hidden_layers"]
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
            rotary=RotaryConfig(base=read["rope_parameters"]["rope_theta"]),
            windows=(None,) * layers,
            rotates=(True,) * layers,
        )

    def weight_map(self, format):
        names = {
            "attention.qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
            "attention.output": ["self_attn.o_proj"],
            "attention_norm": ["input_layernorm"],
            "mlp_norm": ["post_attention_layernorm"],
            "mlp.gate_up": ["mlp.gate_proj", "mlp.up_proj"],
            "mlp.down": ["mlp.down_proj"],
        }
        rest = {
            "embedding": "model.embed_tokens",
            "final_norm": "model.norm",
            "output": "lm_head",
        }
        layers = [
            Weight(parameter=f"{LAYER}{name}.weight", tensors=tuple(f"{STORED}{each}.weight" for each in stored))
            for name, stored in names.items()
        ]
        others = [Weight(parameter=f"{name}.weight", tensors=(f"{stored}.weight",)) for name, stored in rest.items()]
        return WeightMap(weights=(*layers, *others))
