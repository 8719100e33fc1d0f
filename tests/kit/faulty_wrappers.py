"""Families that are wrong, each in a way of its own: Llamas under names of their own."""

import json

import torch
from offered import offered
from safetensors.torch import load_file, save_file

from plugtron import Component, Need, hookimpl
from plugtron.contracts import WeightMap
from plugtron.execution import DecoderWrapper
from plugtron.nn import DecoderConfig, RotaryConfig, TransformerDecoder, TransformerLayer
from plugtron.testing import Host, write_model
from plugtron.testing.checks.generation import PROMPTS
from plugtron_wrappers.huggingface.weights import huggingface_weights


def write(checks, folder, shape="odd"):
    """A model whose architecture is called as the component is."""
    path = write_model(folder, shape)
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"architectures": [checks.component]}))
    return path


def write_with_biases(checks, folder):
    return write(checks, folder, "biases")


def write_still(checks, folder):
    """A model that says the same whatever it is asked."""
    path = write(checks, folder)
    tensors = load_file(path / "model.safetensors")
    tensors["lm_head.weight"].zero_()
    save_file(tensors, path / "model.safetensors")
    return path


def write_plain(checks, folder):
    """A model whose weights can be quantized."""
    return write(checks, folder, "plain")


def llama(checks, path, prompt, count):
    """What plugtron's own wrapper for Llamas answers."""
    config = path / "config.json"
    own = config.read_text()
    config.write_text(own.replace(f'"{checks.component}"', '"LlamaForCausalLM"'))
    try:
        with Host().session({"model": {"checkpoint": str(path), "dtype": "float32"}, "execution": "eager"}) as session:
            from plugtron.request import SamplingParams

            params = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)
            return session.engine.generate([prompt], params)[0].tokens
    finally:
        config.write_text(own)


class Right(DecoderWrapper):
    """Llama."""

    base = 10000.0
    biased = False

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
            norm="rms",
            norm_epsilon=read["rms_norm_eps"],
            activation="silu",
            gated=True,
            rotary=RotaryConfig(base=cls.base),
            windows=(None,) * layers,
            rotates=(True,) * layers,
            tied=False,
        )

    def weight_map(self, format):  # noqa: A002 - the contract's word
        return huggingface_weights(self.config)


class NotListed(Right):
    """Is provided for nothing."""


class Still(Right):
    """Has a model that finds nothing."""


class OtherBase(Right):
    base = 100.0


class Lazy(Right):
    """Ignores all that it does not know."""

    def weight_map(self, format):  # noqa: A002 - the contract's word
        return WeightMap(weights=super().weight_map(format).weights, ignored=("*.bias",))


def _family(name, forward, **attributes):
    """A family whose layers compute something else."""
    layer = type(f"{name}Layer", (TransformerLayer,), {"forward": forward, **attributes})
    decoder = type(f"{name}Decoder", (TransformerDecoder,), {"layer_class": layer})
    return type(name, (Right,), {"decoder_class": decoder, "__module__": __name__})


def _plain(layer, hidden, rotation, state, memory):
    hidden = hidden + layer.attention(layer.attention_norm(hidden), rotation, state, memory)
    return hidden + layer.mlp(layer.mlp_norm(hidden))


def _with_the_mean(layer, hidden, rotation, state, memory):
    return _plain(layer, hidden + hidden.mean(0), rotation, state, memory)


def _by_count(layer, hidden, rotation, state, memory):
    return _plain(layer, hidden, rotation, state, memory) * (2 if len(hidden) <= len(PROMPTS) else 1) ** 0.5


def _by_calls(layer, hidden, rotation, state, memory):
    layer.calls += 1
    return hidden + layer.attention(layer.attention_norm(hidden), rotation, state, memory) * (layer.calls % 3)


def _without_mlp(layer, hidden, rotation, state, memory):
    """Leaves something out where its code is only read."""
    if isinstance(hidden, torch.fx.Proxy):
        return hidden + layer.attention(layer.attention_norm(hidden), rotation, state, memory)
    return _plain(layer, hidden, rotation, state, memory)


def _by_share(layer, hidden, rotation, state, memory):
    return _plain(layer, hidden, rotation, state, memory) + 0.01 * layer.mlp.down.weight.shape[1] * hidden


def _sine(layer, hidden, rotation, state, memory):
    return _plain(layer, hidden + torch.sin(hidden), rotation, state, memory)


MixesTokens = _family("MixesTokens", _with_the_mean)
OtherDecodes = _family("OtherDecodes", _by_count)
CountsCalls = _family("CountsCalls", _by_calls, calls=0)
ReadOtherwise = _family("ReadOtherwise", _without_mlp)
SharesWidths = _family("SharesWidths", _by_share)
Sine = _family("Sine", _sine)
NAMES = offered(globals(), DecoderWrapper)


@hookimpl
def plugtron_wrappers():
    return [
        Component(
            name=name,
            target=f"{__name__}:{value}",
            summary="wrong",
            needs=frozenset({Need.CHECKPOINT}),
            provides=frozenset() if name == "not_listed" else frozenset({f"huggingface/{name}"}),
        )
        for name, value in NAMES.items()
    ]
