"""What plugins' code returns or raises that is no answer: named, and nothing else fails for it."""

import re
from dataclasses import replace

import pytest
import torch

from plugtron import SamplingParams
from plugtron.checkpoint import SafetensorsReader
from plugtron.contracts import ModelOptions, QuantizationMethod, QuantizedWeight, Sampler
from plugtron.errors import PluginError
from plugtron.execution import EagerBackend, NativeBackend
from plugtron.parallel import Runtime
from plugtron.quantization.method import hold_all
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.options import StaticOptions
from plugtron_engines.static import StaticEngine
from plugtron_samplers.params import TemperatureParams
from plugtron_wrappers.llama import LlamaWrapper


class Wrong(Sampler):
    """Returns what is no answer, for one row or for all."""

    params = TemperatureParams

    def __init__(self, change):
        self.change = change

    def apply(self, candidates):
        return self.change(candidates) if 1 in candidates.slot_ids else candidates


def with_ids(candidates, number):
    ids = torch.arange(candidates.logits.shape[1]).expand(candidates.logits.shape).clone()
    ids[:, 3] = number
    return replace(candidates, ids=ids)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda given: given.logits, "returned a Tensor, not Candidates"),
        (lambda given: replace(given, logits=given.logits.double()), "returned logits in torch.float64, not in"),
        (lambda given: replace(given, logits=given.logits[0]), r"returned logits of shape \(320,\) for 1 rows"),
        (lambda given: replace(given, logits=given.logits[:, :9]), "returned 9 of 320 candidates, and no ids"),
        (lambda given: with_ids(given, 320), "returned id 320, which is no token"),
        (lambda given: with_ids(given, -1), "returned id -1, which is no token"),
    ],
)
def test_what_a_sampler_returns_is_checked(change, message, small):
    controller = SimpleTextGenerationController(small.session.parts.wrapper, None, [Wrong(change)])
    engine = StaticEngine(controller, StaticOptions(max_batch_size=3, max_sequence_length=32))
    params = SamplingParams(temperature=0.5, seed=1, max_tokens=2, ignore_eos=True)
    right, wrong, other = engine.generate([[1], [2], [3]], params)
    assert right.error is other.error is None
    assert re.search(rf"sampler \S*test_authors_mistakes.Wrong failed: \w+: it {message}", wrong.error)


def test_what_masks_everything_is_named(small):
    masking = Wrong(lambda given: replace(given, logits=torch.full_like(given.logits, float("-inf"))))
    controller = SimpleTextGenerationController(small.session.parts.wrapper, None, [masking])
    engine = StaticEngine(controller, StaticOptions(max_batch_size=3, max_sequence_length=32))
    params = SamplingParams(temperature=0.5, seed=1, max_tokens=2, ignore_eos=True)
    requests = engine.generate([[1], [2]], params)
    text = r"no token is left that could be drawn \(samplers that it goes through: \S*test_authors_mistakes.Wrong\)"
    assert all(re.fullmatch(text, request.error) for request in requests)


class Method(QuantizationMethod):
    """Holds weights as `change` has it."""

    name, forms = "acme", (QuantizedWeight,)

    def __init__(self, change):
        self.hold = lambda part, weight: change(weight)

    def hold(self, part, weight):
        """Replaced in each instance."""


class Backend(EagerBackend):
    """Cannot even say whether it can."""

    name = "acme"

    def why_not(self, source):
        raise KeyError("nothing")


def load(folder, **options):
    """Load a model with these options, as an engine would."""
    wrapper = LlamaWrapper(Runtime.create(), SafetensorsReader(folder), model_options=ModelOptions(**options))
    wrapper.preload(1, 1, 8)


@pytest.mark.parametrize("execution", [NativeBackend(), EagerBackend()], ids=["native", "eager"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda weight: weight, r"quantization acme: it holds weights in \w+, not in QuantizedWeight"),
        (lambda weight: QuantizedWeight.of(weight[:1], 8), r"quantization acme: it made \(1, 64\) of a weight \("),
    ],
    ids=["form", "shape"],
)
def test_what_a_quantization_method_returns_is_checked(change, message, execution, random_model):
    with pytest.raises(PluginError, match=message):
        load(random_model("llama_untied")[1], quantization=Method(change), execution=execution)


def test_the_rows_of_a_weight_have_one_form():
    method = Method(lambda rows: QuantizedWeight.of(rows, 8) if len(rows) == 4 else None)
    with pytest.raises(PluginError, match="quantization acme: it holds the rows of one weight in different forms"):
        hold_all(method, "layer", torch.randn(6, 64), rows=4)


def test_a_backend_that_raises_is_named(random_model):
    with pytest.raises(PluginError, match="execution acme: why_not failed: KeyError: 'nothing'"):
        load(random_model("llama_untied")[1], execution=Backend())
