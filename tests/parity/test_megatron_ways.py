"""Newer shapes of Megatron's checkpoints in every execution, over ranks and in both engines: Megatron's own tokens."""

import json
from pathlib import Path

import pytest

from plugtron import LLM, SamplingParams

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
OVER_RANKS = {
    "tensor": {"tensor_parallel": 2},
    "pipeline": {"pipeline_parallel": 2},
    "tensor, eager": {"tensor_parallel": 2, "overrides": {"execution": "eager"}},
    "tensor, pipeline, dynamic": {"tensor_parallel": 2, "pipeline_parallel": 2, "engine": "dynamic"},
}


def reference(name):
    return json.loads((CHECKPOINTS / name / "reference.json").read_text())["reference"]


def tokens(name, count, **options):
    params = SamplingParams(temperature=0, max_tokens=count, ignore_eos=True)
    with LLM(CHECKPOINTS / name, **{"dtype": "float32", **options}) as llm:
        answers = llm.generate([entry["prompt_tokens"] for entry in reference(name)], params)
    assert [answer.error for answer in answers] == [None] * len(answers)
    return [answer.tokens for answer in answers]


@pytest.mark.filterwarnings("error")  # of a step that is cut there is a warning
@pytest.mark.parametrize("name", SOME)
def test_every_way_gives_megatrons_tokens(name):
    expected = [entry["greedy_tokens"] for entry in reference(name)]
    for way, options in WAYS.items():
        assert tokens(name, 24, **options) == expected, way


@pytest.mark.wide
@pytest.mark.parametrize("name", NAMES)
def test_ranks_give_megatrons_tokens(name):
    expected = [entry["greedy_tokens"] for entry in reference(name)]
    for way, options in OVER_RANKS.items():
        assert tokens(name, 24, **options) == expected, way


@pytest.mark.wide
@pytest.mark.parametrize("quantization", [None, "int8"])
@pytest.mark.parametrize("name", NAMES)
def test_graphs_give_the_same_tokens(name, quantization):
    """Over Triton's kernels, in its interpreter where there is no GPU."""
    options = {"engine.options.max_sequence_length": 64, "device": "cpu", "model.quantization": quantization}
    found = tokens(name, 3, engine="dynamic", overrides={**options, "execution": "graph"})
    assert found == tokens(name, 3, overrides={**options, "execution": "eager"})
