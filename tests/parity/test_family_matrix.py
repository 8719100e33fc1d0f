"""Every family in every execution, over ranks, in both engines, with quantized weights."""

import pytest
from support import models
from support.greedy import greedy

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
}
OVER_RANKS = {
    "tensor": {"tensor_parallel": 2},
    "tensor, eager": {"tensor_parallel": 2, "overrides": {"execution": "eager"}},
    "pipeline": {"pipeline_parallel": 2},
}
SHORT = {"engine.options.max_sequence_length": 64, "device": "cpu"}
GRAPH, EAGER = SHORT | {"execution": "graph"}, SHORT | {"execution": "eager"}
#: What two ranks cannot share: 71 heads.
ALONE = {"falcon_multi_query"}


@pytest.mark.parametrize("name", FAMILIES)
def test_every_way_gives_the_same_tokens(name, random_model, two_ranks):
    folder = random_model(name)[1]
    expected = greedy(folder, PROMPTS, 16, {})
    for way, options in WAYS.items():
        assert greedy(folder, PROMPTS, 16, options) == expected, way
    for way, options in OVER_RANKS.items():
        if not ("tensor" in way and name in ALONE):
            assert two_ranks.run(greedy, folder, PROMPTS, 16, options)[0] == expected, way


@pytest.mark.parametrize("name", FAMILIES)
def test_graphs_give_the_same_tokens(name, random_model):
    """Over Triton's kernels, in its interpreter where there is no GPU."""
    folder = random_model(name)[1]
    found = greedy(folder, FEW, 3, {"engine": "dynamic", "overrides": GRAPH})
    assert found == greedy(folder, FEW, 3, {"overrides": EAGER})


@pytest.mark.parametrize("quantization", ["int8", "int4"])
@pytest.mark.parametrize("name", FAMILIES)
def test_quantized_weights(name, quantization, random_model, two_ranks):
    """Native steps round activations as well (what they come to, test_native.py tries), graphs do not."""
    folder = random_model(name)[1]
    eager = greedy(folder, FEW, 3, {"quantization": quantization, "overrides": EAGER})
    graph = greedy(folder, FEW, 3, {"quantization": quantization, "overrides": GRAPH})
    assert graph == eager
    native = greedy(folder, PROMPTS, 3, {"quantization": quantization})
    assert [len(each) for each in native] == [3, 3, 3]
    if name not in ALONE:
        options = {"quantization": quantization, "tensor_parallel": 2}
        found = two_ranks.run(greedy, folder, PROMPTS, 3, options)[0]
        assert [len(each) for each in found] == [3, 3, 3]
