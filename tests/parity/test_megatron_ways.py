"""Newer shapes of Megatron's checkpoints in every execution, over ranks and in both engines: Megatron's own tokens."""

import json
from pathlib import Path

import pytest
from support.greedy import greedy
from support.strict_ranks import StrictRanks

CHECKPOINTS = Path(__file__).parents[1] / "data" / "megatron"
NAMES = [
    *("gpt_oss", "sinks_tp2_legacy", "llama4_legacy", "gated_attention_tp2_legacy", "off_by_one_ep2_legacy"),
    *("groups_legacy", "geglu_fused_legacy"),
]
#: All but one belong to `make test-all`; test_pipeline_and_data.py has that one over ranks.
SOME = [pytest.param(name, marks=[] if name == "gpt_oss" else [pytest.mark.wide]) for name in NAMES]
WAYS = {
    "eager": {"overrides": {"execution": "eager"}},
    "dynamic": {
        "engine": "dynamic",
        "overrides": {"engine.options.block_size": 4, "engine.options.max_step_tokens": 7},
    },
}
OVER_TWO_RANKS = {
    "tensor": {"tensor_parallel": 2},
    "pipeline": {"pipeline_parallel": 2},
    "tensor, eager": {"tensor_parallel": 2, "overrides": {"execution": "eager"}},
}
OVER_FOUR_RANKS = {"tensor_parallel": 2, "pipeline_parallel": 2, "engine": "dynamic"}


@pytest.fixture(scope="module")
def four_ranks(pytestconfig):
    with StrictRanks(4, pytestconfig.getini("filterwarnings")) as job:
        yield job


def reference(name):
    return json.loads((CHECKPOINTS / name / "reference.json").read_text())["reference"]


def prompts(name):
    return [entry["prompt_tokens"] for entry in reference(name)]


@pytest.mark.filterwarnings("error")  # of a step that is cut there is a warning
@pytest.mark.parametrize("name", SOME)
def test_every_way_gives_megatrons_tokens(name):
    expected = [entry["greedy_tokens"] for entry in reference(name)]
    for way, options in WAYS.items():
        assert greedy(CHECKPOINTS / name, prompts(name), 24, options) == expected, way


@pytest.mark.wide
@pytest.mark.parametrize("name", NAMES)
def test_ranks_give_megatrons_tokens(name, two_ranks, four_ranks):
    expected = [entry["greedy_tokens"] for entry in reference(name)]
    for way, options in OVER_TWO_RANKS.items():
        found = two_ranks.run(greedy, CHECKPOINTS / name, prompts(name), 24, options)[0]
        assert found == expected, way
    found = four_ranks.run(greedy, CHECKPOINTS / name, prompts(name), 24, OVER_FOUR_RANKS)[0]
    assert found == expected


@pytest.mark.wide
@pytest.mark.parametrize("quantization", [None, "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_graphs_give_the_same_tokens(name, quantization):
    """Over Triton's kernels, in its interpreter where there is no GPU."""
    options = {"engine.options.max_sequence_length": 64, "device": "cpu", "model.quantization": quantization}
    asked = CHECKPOINTS / name, prompts(name), 3
    found = greedy(*asked, {"engine": "dynamic", "overrides": {**options, "execution": "graph"}})
    assert found == greedy(*asked, {"overrides": {**options, "execution": "eager"}})
