"""Mixtures of experts: the native step against torch, stacked tensors."""

import zlib
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from support import models
from support.folders import rewritten
from support.logits import all_logits

from plugtron import LLM
from plugtron.checkpoint.loader import expand, targets
from plugtron.contracts import CheckpointReader, ModelDescription, ModelOptions, TensorInfo
from plugtron.execution.eager_backend import EagerBackend
from plugtron.execution.native_backend import NativeBackend
from plugtron.execution.wrapper import DecoderWrapper
from plugtron.nn import (
    DecoderConfig,
    ExpertsConfig,
    MixtureOfExperts,
    RotaryConfig,
    TransformerDecoder,
    TransformerLayer,
)
from plugtron.parallel.runtime import Runtime
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.static import StaticEngine
from plugtron_wrappers.huggingface.weights import huggingface_weights


def stacked(tensors):
    """Experts as transformers 5 has them in memory, from one tensor for each."""
    found = {name: tensor for name, tensor in tensors.items() if ".experts." not in name}
    for layer in {name.split(".mlp.")[0] for name in tensors if ".mlp.experts." in name}:
        experts = f"{layer}.mlp.experts"
        count = sum(name.startswith(experts) for name in tensors) // 3
        each = [
            {part: tensors[f"{experts}.{e}.{part}_proj.weight"] for part in ("gate", "up", "down")}
            for e in range(count)
        ]
        found[f"{experts}.gate_up_proj"] = torch.stack([torch.cat([one["gate"], one["up"]]) for one in each])
        found[f"{experts}.down_proj"] = torch.stack([one["down"] for one in each])
    return found


@pytest.mark.parametrize("name", ["qwen2_moe_mixed", "qwen3_moe"])
def test_stacked_experts_are_the_same_model(name, random_model, tmp_path):
    _, folder = random_model(name)
    assert ".experts.0." in "".join(load_file(folder / "model.safetensors"))
    prompt = models.prompts()[4]
    with LLM(folder, dtype="float32") as one, LLM(rewritten(folder, tmp_path, stacked), dtype="float32") as other:
        assert torch.equal(all_logits(one, prompt), all_logits(other, prompt))


def test_granite_under_the_names_of_transformers_5(random_model, tmp_path):
    _, folder = random_model("granite_moe")
    changes = {
        "input_linear.weight": "experts.gate_up_proj",
        "output_linear.weight": "experts.down_proj",
        "router.layer.weight": "router.weight",
    }

    def renamed(tensors):
        found = {}
        for name, tensor in tensors.items():
            old = next((old for old in changes if name.endswith(old)), "")
            found[name.removesuffix(old) + changes.get(old, "")] = tensor
        assert found.keys() != tensors.keys()
        return found

    prompt = models.prompts()[4]
    with LLM(folder, dtype="float32") as one, LLM(rewritten(folder, tmp_path, renamed), dtype="float32") as other:
        assert torch.equal(all_logits(one, prompt), all_logits(other, prompt))


class RandomReader(CheckpointReader):
    """Stores whatever a wrapper asks for: numbers that follow from names."""

    def __init__(self):
        super().__init__(__file__)  # which packed weights are kept for
        self.known = {}

    @classmethod
    def describe(cls, path):
        return ModelDescription(format="huggingface", path=path, architecture="RandomForCausalLM", configuration={})

    @property
    def tensors(self):
        return {name: TensorInfo(shape=shape, dtype="F32", file=self.path) for name, shape in self.known.items()}

    def read(self, name, part=()):
        random = torch.Generator().manual_seed(zlib.crc32(name.encode()))
        numbers = torch.randn(self.known[name], generator=random)
        if "norm" in name:
            numbers = 1 + 0.2 * numbers
        elif numbers.dim() > 1 and "embed" not in name:
            numbers *= 2 * numbers.shape[-1] ** -0.5
        return numbers[part] if part else numbers


class RandomWrapper(DecoderWrapper):
    """Any decoder over such a reader."""

    def __init__(self, runtime, config, options):
        reader = RandomReader()
        super().__init__(runtime, reader, reader.model, config, options)
        parts = targets(self.build(range(config.num_layers)))
        for weight in expand(self.weight_map("huggingface").weights, range(config.num_layers)):
            names = zip(weight.tensors, parts[weight.parameter][1], strict=True)
            reader.known.update({name: part.shape for name, part in names})

    def weight_map(self, format):  # noqa: A002
        return huggingface_weights(self.config)


MIXTURES = {
    "many": {"count": 64, "top_k": 8, "score": "softmax"},
    "renormalized": {"count": 33, "top_k": 5, "score": "softmax_renormalized", "scale": 2.5},
    "all of them": {"count": 4, "top_k": 4, "router_bias": True},
    "one": {"count": 1, "top_k": 1, "score": "sigmoid"},
    "sigmoid": {"count": 16, "top_k": 3, "score": "sigmoid", "choice_bias": True, "scale": 1.5},
    "groups": {"count": 24, "top_k": 4, "score": "sigmoid", "choice_bias": True, "groups": 6, "top_groups": 2},
    "groups of softmax": {"count": 24, "top_k": 4, "score": "softmax", "groups": 4, "top_groups": 2},
    "shared": {"count": 6, "top_k": 2, "shared_size": 56, "shared_gate": True},
    "weighed inputs": {"count": 9, "top_k": 3, "score": "sigmoid", "weighs_inputs": True, "shared_size": 40},
    "clamped": {"count": 6, "top_k": 2, "limit": 0.8, "up_offset": 1.0, "router_bias": True},
}
WIDTHS = {"whole groups": (64, 96), "no whole groups": (72, 40)}


def logits_of(config, backend, wrapper_class=RandomWrapper):
    """Logits of a prompt of many tokens, [T, V]."""
    wrapper = wrapper_class(Runtime.create(device="cpu", threads=2), config, ModelOptions(execution=backend))
    engine = StaticEngine(SimpleTextGenerationController(wrapper, None))
    session = SimpleNamespace(engine=engine, parts=SimpleNamespace(wrapper=wrapper))
    return all_logits(SimpleNamespace(session=session), [(7 * at) % 100 for at in range(150)])


def mixed(mixture, hidden, size, *, gated):
    """A decoder with a mixture in two of three layers."""
    return DecoderConfig(
        vocab_size=100, hidden_size=hidden, intermediate_size=48, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=8,
        max_positions=256, norm_epsilon=1e-5, rotary=RotaryConfig(base=10_000.0), windows=(None,) * 3,
        rotates=(True,) * 3, sparse=(True, False, True), experts=ExpertsConfig(size=size, **MIXTURES[mixture]),
        gated=gated, activation="silu" if gated else "relu_squared", mlp_bias=True,
    )  # fmt: skip


@pytest.mark.parametrize("widths", WIDTHS)
@pytest.mark.parametrize("mixture", MIXTURES)
def test_native_mixtures_are_those_of_torch(mixture, widths, recwarn):
    hidden, size = WIDTHS[widths]
    gated = widths == "whole groups" or "limit" in MIXTURES[mixture]
    config = mixed(mixture, hidden, size, gated=gated)
    expected, found = logits_of(config, EagerBackend()), logits_of(config, NativeBackend())
    assert not [warning for warning in recwarn if "through torch" in str(warning.message)]
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


class LouderMixture(MixtureOfExperts):
    """An author's own, which changes what the router says."""

    def forward(self, hidden):
        chosen, strengths = self.router(hidden)
        return self.experts(hidden, chosen, 2 * strengths)


class LouderLayer(TransformerLayer):
    def __init__(self, config, layer, runtime):
        super().__init__(config, layer, runtime)
        if config.is_sparse(layer):
            self.mlp = LouderMixture(config, runtime)


class LouderDecoder(TransformerDecoder):
    layer_class = LouderLayer


class LouderWrapper(RandomWrapper):
    decoder_class = LouderDecoder


def test_what_becomes_of_a_routers_word_is_not_ignored():
    config = mixed("many", *WIDTHS["whole groups"], gated=True)
    expected = logits_of(config, EagerBackend(), LouderWrapper)
    with pytest.warns(UserWarning, match=r"through torch: .*Experts"):
        found = logits_of(config, NativeBackend(), LouderWrapper)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
