"""What the native step does not know runs through torch between its operations, and comes to the same."""

import warnings
from dataclasses import replace

import pytest
import torch
from support import models

from plugtron import SamplingParams
from plugtron.checkpoint.safetensors import SafetensorsReader
from plugtron.contracts import ModelOptions
from plugtron.errors import PluginError, PlugtronError
from plugtron.execution import EagerBackend, NativeBackend
from plugtron.nn import Attention, TransformerDecoder, TransformerLayer
from plugtron.parallel.runtime import Runtime
from plugtron.quantization import Grouped
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.dynamic import DynamicEngine
from plugtron_engines.options import DynamicOptions
from plugtron_wrappers.llama import LlamaWrapper

PARAMS = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True, logprobs=0)


class Sine(TransformerLayer):
    """A function that the kernels do not know, on what the MLP gives."""

    def forward(self, hidden, rotation, state, memory):
        hidden = hidden + self.attention(self.attention_norm(hidden), rotation, state, memory)
        return hidden + torch.sin(self.mlp(self.mlp_norm(hidden)))


class Branches(torch.nn.Module):
    """Code that cannot be read without its numbers."""

    def __init__(self, mlp):
        super().__init__()
        self.mlp = mlp

    def forward(self, hidden):
        if hidden.abs().max() > 1e9:
            return hidden
        return self.mlp(hidden).flip(0).flip(0)


class Branching(TransformerLayer):
    def __init__(self, config, layer, runtime):
        super().__init__(config, layer, runtime)
        self.mlp = torch.nn.Sequential(Branches(self.mlp))

    def forward(self, hidden, rotation, state, memory):
        hidden = hidden + self.attention(self.attention_norm(hidden), rotation, state, memory)
        return hidden + self.mlp(self.mlp_norm(hidden))


class HeadsApart(Attention):
    """Three dimensions, in place, by position: all of it between two products that the kernels know."""

    def forward(self, hidden, rotation, state, memory):
        query, key, value = self.qkv(hidden).split(self._widths, dim=-1)
        heads = query.unflatten(-1, (-1, 8)).clone()
        heads.mul_(2.0)
        far = (memory.positions > 5).unsqueeze(1).unsqueeze(2)
        query = torch.where(far, heads / 2, heads / 2 + 0.25).flatten(1)
        return self.output(self.core(query, key, value, rotation, state, memory))


class Apart(TransformerLayer):
    def __init__(self, config, layer, runtime):
        super().__init__(config, layer, runtime)
        self.attention = HeadsApart(config, layer, runtime)


class Queries(Attention):
    """What is attended to is gated by the queries as they were before they rotated."""

    def forward(self, hidden, rotation, state, memory):
        query, key, value = self.qkv(hidden).split(self._widths, dim=-1)
        return self.output(self.core(query, key, value, rotation, state, memory) * query)


class Gated(TransformerLayer):
    def __init__(self, config, layer, runtime):
        super().__init__(config, layer, runtime)
        self.attention = Queries(config, layer, runtime)

    def forward(self, hidden, rotation, state, memory):
        both = super().forward(hidden, rotation, state, memory)
        return (both + 1.0 - 2 * both / 2.0)[:, :] * 1 + (both - 1)[:, 0 : both.shape[1]]


class Opaque(TransformerLayer):
    """A whole layer that torch runs, its attention included."""

    def forward(self, hidden, rotation, state, memory):
        for _ in range(int(hidden.shape[0] > 0)):
            hidden = super().forward(hidden, rotation, state, memory)
        return hidden


def wrapper_of(layer):
    class Decoder(TransformerDecoder):
        layer_class = layer

    class Wrapper(LlamaWrapper):
        def build(self, layers):
            return Decoder(self.config, layers, self.runtime)

        def weight_map(self, format):  # noqa: A002 - the contract's word for it
            found = super().weight_map(format)
            if layer is not Branching:
                return found
            names = {each: each.parameter.replace(".mlp.", ".mlp.0.mlp.") for each in found.weights}
            return replace(found, weights=tuple(replace(each, parameter=name) for each, name in names.items()))

    return Wrapper


def generated(wrapper_class, folder, backend, **options):
    wrapper = wrapper_class(
        Runtime.create(), SafetensorsReader(folder), model_options=ModelOptions(execution=backend, **options)
    )
    controller = SimpleTextGenerationController(wrapper, None)
    engine = DynamicEngine(controller, DynamicOptions(max_step_tokens=11, block_size=4))
    answers = engine.generate(models.prompts(), PARAMS)
    assert [answer.error for answer in answers] == [None] * len(answers)
    return [answer.tokens for answer in answers], wrapper.execution


@pytest.mark.parametrize(
    ("layer", "pieces"),
    [
        (Sine, "sin (4 times)"),
        (Branching, "Branches (4 times)"),
        (Apart, "unflatten, clone, mul_, getattr, gt, unsqueeze, truediv, add, where, flatten (4 times)"),
        (Opaque, "forward (4 times)"),
    ],
)
def test_pieces_run_through_torch(layer, pieces, random_model):
    folder = random_model("llama_biases")[1]
    wrapper_class = wrapper_of(layer)
    expected, _ = generated(wrapper_class, folder, EagerBackend())
    with pytest.warns(UserWarning) as said:
        found, execution = generated(wrapper_class, folder, NativeBackend())
    assert found == expected
    assert [str(each.message) for each in said] == [f"the native step runs some pieces through torch: {pieces}"]
    names = []
    execution.observer = lambda spans: names.extend(name for name, *_ in spans)
    again = wrapper_class(Runtime.create(), SafetensorsReader(folder))
    again._execution = execution
    SimpleTextGenerationController(again, None)
    DynamicEngine(SimpleTextGenerationController(again, None)).generate(
        [[1, 2, 3]], PARAMS.model_copy(update={"max_tokens": 1})
    )
    name, _, times = pieces.rpartition(" (")
    assert [found for found in names if found.startswith("torch: ")] == [f"torch: {name}"] * int(times.split()[0])


def test_what_the_kernels_know_is_not_cut(random_model, recwarn):
    """Arithmetic, columns, and queries that are read again once they have rotated."""
    folder = random_model("llama_biases")[1]
    wrapper_class = wrapper_of(Gated)
    assert generated(wrapper_class, folder, NativeBackend())[0] == generated(wrapper_class, folder, EagerBackend())[0]
    assert not [said for said in recwarn if "through torch" in str(said.message)]


@pytest.mark.parametrize("returned", [lambda hidden: (hidden, hidden), lambda hidden: hidden.unsqueeze(0)])
def test_a_layer_that_returns_something_else_is_named(returned, random_model):
    class Wrong(TransformerLayer):
        def forward(self, hidden, rotation, state, memory):
            return returned(super().forward(hidden, rotation, state, memory))

    with pytest.raises(PluginError, match=r"Wrong: layer 0 must return rows of numbers, \[T, H\] or \[N, V\]"):
        generated(wrapper_of(Wrong), random_model("llama_biases")[1], NativeBackend())


def test_equal_bits_are_refused_where_torch_has_a_part(random_model):
    folder = random_model("llama_biases")[1]
    with pytest.raises(PlugtronError, match=r"deterministic: torch's sums .* pieces of this one \(sin\)"):
        generated(wrapper_of(Sine), folder, NativeBackend(), deterministic=True)


def test_what_runs_through_torch_is_quantized_too(random_model):
    folder = random_model("llama_biases")[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        plain, _ = generated(wrapper_of(Opaque), folder, NativeBackend())
        found, _ = generated(wrapper_of(Opaque), folder, NativeBackend(), quantization=Grouped(4))
        expected, _ = generated(wrapper_of(Opaque), folder, EagerBackend(), quantization=Grouped(4))
    # The head alone is the kernels', whose activations are of eight bits, too.
    same = [one == other for one, other in zip(found, expected, strict=True)]
    assert sum(same) >= len(same) / 2
    assert found != plain
