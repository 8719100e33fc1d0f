"""Whole steps over the Triton kernels; in Triton's interpreter where there is no GPU."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support import compile_triton, models, reference
from support.folders import mxfp4_folder

from plugtron import LLM, SamplingParams
from plugtron.errors import PlugtronError
from plugtron.execution import graph
from plugtron.nn.experts import Experts
from plugtron.quantization.float8 import quantize_rows
from plugtron.quantization.weight import QuantizedWeight

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("llama_biases", "dynamic"),
        ("llama_yarn", "static"),
        ("mistral_window", "dynamic"),
        ("qwen3", "static"),
        ("smollm3", "dynamic"),
        ("gpt2_odd", "dynamic"),
        ("gpt_neox", "static"),
        ("gemma2", "dynamic"),
        ("gemma3", "dynamic"),
        ("mixtral", "static"),
        ("gpt_oss", "dynamic"),
        ("llama4", "static"),
        ("ministral3_window", "static"),
        ("glm4", "dynamic"),
        ("cohere_normed", "static"),
        ("opt_post_norm", "dynamic"),
        ("falcon_alibi_multi_query", "static"),
    ],
)
def test_graph_steps_give_what_eager_ones_do(name, engine, random_model):
    """Token by token, alone and beside others that come and go."""
    folder = random_model(name)[1]
    prompts = models.prompts()[:3]
    params = [SamplingParams(temperature=0, max_tokens=length, ignore_eos=True) for length in (3, 1, 2)]
    overrides = {"device": DEVICE, "engine.options.max_sequence_length": 64}
    with LLM(folder, dtype="float32", overrides={**overrides, "execution": "eager"}) as llm:
        expected = [answer.tokens for answer in llm.generate(prompts, params)]
    with LLM(folder, dtype="float32", engine=engine, overrides={**overrides, "execution": "graph"}) as llm:
        assert [answer.tokens for answer in llm.generate(prompts, params)] == expected


def dense(weight, form):
    if form == "fp8":
        values, scales = quantize_rows(weight)
        return values.float() * scales
    return QuantizedWeight.of(weight, int(form.removeprefix("int"))).dense()


@pytest.mark.parametrize("form", ["int4", "int8", "fp8"])
def test_graph_steps_over_quantized_weights(form, random_model):
    """What transformers computes with the same weights made dense, eight bits in the head."""
    folder = random_model("llama_tied")[1]
    params = SamplingParams(temperature=0, max_tokens=3, ignore_eos=True)
    overrides = {"device": DEVICE, "engine.options.max_sequence_length": 64, "execution": "graph"}
    model = models.make("llama_tied")
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Linear):
                module.weight = torch.nn.Parameter(dense(module.weight, "int8" if name == "lm_head" else form))
    with LLM(folder, dtype="float32", quantization=form, overrides=overrides) as llm:
        prompt = models.prompts()[1]
        tokens = llm.generate(prompt, params).tokens
        assert tokens == reference.greedy_along(model, prompt, tokens)[0]
        assert len(tokens) == 3


def forms_of_experts(llm):
    """What a graph's experts are held in."""
    modules = llm.session.parts.wrapper.execution._decoder.layers.modules()
    return {product.format for module in modules if isinstance(module, Experts) for product in module.products.values()}


@pytest.mark.parametrize("dtype", ["float32", pytest.param("float16", marks=pytest.mark.wide)])
def test_graph_steps_over_experts_in_mxfp4(dtype, random_model, tmp_path):
    """As gpt-oss is published, without a word in the spec."""
    folder = mxfp4_folder(random_model("gpt_oss")[1], tmp_path / "mxfp4")
    params = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True)
    overrides = {"device": DEVICE, "engine.options.max_sequence_length": 64}
    found = []
    for execution in ("eager", "graph"):
        with LLM(folder, dtype=dtype, overrides={**overrides, "execution": execution}) as llm:
            found.append(llm.generate(models.prompts()[1], params).tokens)
            if execution == "graph":
                assert forms_of_experts(llm) == {"mxfp4"}
    assert found[0] == found[1]


@pytest.mark.parametrize("form", ["int4", *(pytest.param(form, marks=pytest.mark.wide) for form in ("int8", "fp8"))])
def test_graph_steps_over_quantized_experts(form, random_model):
    """What eager steps give with the same weights made dense."""
    params = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True)
    overrides = {"device": DEVICE, "engine.options.max_sequence_length": 64}
    found = []
    for execution in ("eager", "graph"):
        overrides["execution"] = execution
        with LLM(random_model("mixtral")[1], dtype="float32", quantization=form, overrides=overrides) as llm:
            found.append(llm.generate(models.prompts()[1], params).tokens)
            if execution == "graph":
                assert forms_of_experts(llm) == {form}
    assert found[0] == found[1]


@pytest.mark.parametrize("deterministic", [False, True])
def test_steps_that_no_graph_is_for(deterministic, random_model, monkeypatch):
    """Chunks of prompts alone and beside rows of one token: where there are too many tokens, or too long histories."""
    monkeypatch.setattr(graph, "TOKENS", (1,))
    params = [SamplingParams(temperature=0, max_tokens=length, ignore_eos=True) for length in (3, 2)]
    overrides = {"device": DEVICE, "engine.options.max_sequence_length": 32, "engine.options.max_step_tokens": 5}
    found = []
    for more in ({"execution": "eager"}, {"execution": "graph", "deterministic": deterministic}):
        with LLM(random_model("mistral_window")[1], dtype="float32", engine="dynamic",
                 overrides={**overrides, **more}) as llm:  # fmt: skip
            found.append([answer.tokens for answer in llm.generate([[5, 6, 7], [9, 8, 7, 6, 5, 4, 3]], params)])
    assert found[0] == found[1]


def test_what_is_tried_out_leaves_the_next_steps_as_they_are(random_model):
    """Nothing is measured without a GPU, but the steps run."""
    params = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True)
    overrides = {"device": DEVICE, "execution": "graph", "engine.options.max_sequence_length": 32}
    with LLM(random_model("qwen3")[1], dtype="float32", overrides=overrides) as llm:
        expected = llm.generate([5, 6], params).tokens
        execution = llm.session.parts.wrapper.execution
        assert (execution.peak_activation_bytes(2, 8, 32) is None) == (DEVICE == "cpu")
        execution._try_out(4, 2, 32)
        assert llm.generate([5, 6], params).tokens == expected


def test_a_graph_is_refused_where_there_is_none(random_model):
    overrides = {"device": DEVICE, "execution": "graph"}
    reason = r"execution graph: quantized blocks as they are in a file \(accepted here: auto"
    with pytest.raises(PlugtronError, match=reason):
        LLM(random_model("mixtral")[1], quantization="as_stored", overrides=overrides)


@pytest.mark.parametrize("capability", [90])
def test_kernels_compile_for_gpus_that_are_not_here(capability):
    """And fit the shared memory of the smaller ones of their kind, 99 KiB."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, str(Path(compile_triton.__file__)), str(capability)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr[-4000:]
    shared = json.loads(done.stdout)
    assert max(shared.values()) <= 99 << 10, shared


PROGRAM = """
import sys
from plugtron import LLM, SamplingParams
with LLM(sys.argv[1], overrides={"device": "cpu", "execution": sys.argv[2]}) as llm:
    llm.generate([1, 2, 3], SamplingParams(temperature=0, max_tokens=2))
sys.exit("triton" in sys.modules)
"""


def run(folder, execution):
    """In a process of its own, without the interpreter that this one has."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    command = [sys.executable, "-c", PROGRAM, str(folder), execution]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_a_cpu_run_imports_no_triton(random_model):
    done = run(random_model("llama_tied")[1], "auto")
    assert done.returncode == 0, done.stderr


def test_a_cpu_captures_nothing(random_model):
    done = run(random_model("llama_tied")[1], "graph")
    assert "execution graph: graphs are captured on a GPU, not on cpu" in done.stderr
