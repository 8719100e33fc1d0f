"""Every family in every execution, over ranks, in both engines, with quantized weights."""

import pytest
from support import models

from plugtron import LLM, SamplingParams

pytestmark = pytest.mark.wide

#: A model of each class of transformers.
FAMILIES = sorted(models.FIRST.values())
PROMPTS = models.prompts()[2:5]
#: One that is longer than the windows, beside one of a token: Triton's interpreter takes its time for each.
FEW = [models.prompts()[4], models.prompts()[0]]
WAYS = {
    "eager": {"overrides": {"execution": "eager"}},
    "dynamic": {
        "engine": "dynamic",
        "overrides": {"engine.options.block_size": 4, "engine.options.max_step_tokens": 7},
    },
    "tensor": {"tensor_parallel": 2},
    "tensor, eager": {"tensor_parallel": 2, "overrides": {"execution": "eager"}},
    "pipeline": {"pipeline_parallel": 2},
}
#: What two ranks cannot share: 71 heads.
ALONE = {"falcon_multi_query"}


def tokens(folder, count, prompts=PROMPTS, **options):
    params = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)
    with LLM(folder, **{"dtype": "float32", **options}) as llm:
        answers = llm.generate(prompts, params)
    assert [answer.error for answer in answers] == [None] * len(prompts)
    return [answer.tokens for answer in answers]


@pytest.mark.parametrize("name", FAMILIES)
def test_every_way_gives_the_same_tokens(name, random_model):
    folder = random_model(name)[1]
    expected = tokens(folder, 16)
    for way, options in WAYS.items():
        if not ("tensor" in way and name in ALONE):
            assert tokens(folder, 16, **options) == expected, way


@pytest.mark.parametrize("name", FAMILIES)
def test_graphs_give_the_same_tokens(name, random_model):
    """Over Triton's kernels, in its interpreter where there is no GPU."""
    folder = random_model(name)[1]
    options = {"engine.options.max_sequence_length": 64, "device": "cpu"}
    found = tokens(folder, 3, FEW, engine="dynamic", overrides={**options, "execution": "graph"})
    assert found == tokens(folder, 3, FEW, overrides={**options, "execution": "eager"})


@pytest.mark.parametrize("quantization", ["int8", "int4"])
@pytest.mark.parametrize("name", FAMILIES)
def test_quantized_weights(name, quantization, random_model):
    """Native steps round activations as well (what they come to, test_native.py tries), graphs do not."""
    folder = random_model(name)[1]
    options = {"engine.options.max_sequence_length": 64, "device": "cpu"}
    eager = tokens(folder, 3, FEW, quantization=quantization, overrides={**options, "execution": "eager"})
    graph = tokens(folder, 3, FEW, quantization=quantization, overrides={**options, "execution": "graph"})
    assert graph == eager
    for ranks in (1,) if name in ALONE else (1, 2):
        native = tokens(folder, 3, quantization=quantization, tensor_parallel=ranks)
        assert [len(each) for each in native] == [3, 3, 3]
