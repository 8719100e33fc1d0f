"""Families from distributions that pip installed: in every execution, over ranks, with quantized weights."""

import json
import shutil

import pytest
from support import models, reference

PROGRAM = """
import json, sys, warnings
from plugtron import LLM, SamplingParams

def main():
    folder, prompts, settings = json.loads(sys.argv[1])
    params = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)
    for options in settings:
        with warnings.catch_warnings(record=True) as said, LLM(folder, **options) as llm:
            warnings.simplefilter("always")
            answers = llm.generate(prompts, params)
        print(json.dumps([[answer.tokens for answer in answers], [str(each.message) for each in said]]))

if __name__ == "__main__":
    main()
"""
EXACT = [
    {},
    {"overrides": {"execution": "eager"}},
    {"engine": "dynamic", "overrides": {"engine.options.block_size": 4, "engine.options.max_step_tokens": 7}},
    {"tensor_parallel": 2},
    {"pipeline_parallel": 2},
]
#: What rounds: compared with what torch computes with weights that are rounded alike.
ROUNDED = [{"dtype": "bfloat16"}, {"quantization": "int8"}, {"quantization": "int4"}]


@pytest.fixture
def generate(acme, tmp_path, random_model):
    """Generate with a model under another architecture's name, with some settings one after the other."""

    def run(name, architecture, settings, **environment):
        model, folder = random_model(name)
        renamed = shutil.copytree(folder, tmp_path / architecture)
        config = json.loads((renamed / "config.json").read_text())
        (renamed / "config.json").write_text(json.dumps({**config, "architectures": [architecture]}))
        program = tmp_path / "program.py"
        program.write_text(PROGRAM)
        prompts = models.prompts()[2:5]
        plain = [{"dtype": "float32", **options} for options in settings]
        done = acme.run(program, json.dumps([str(renamed), prompts, plain]), check=0, **environment)
        return model, prompts, [json.loads(line) for line in done.stdout.splitlines()]

    return run


FAMILIES = [("gpt_neox_plain", "AcmeNeoXForCausalLM"), ("gemma2", "AcmeGemma2ForCausalLM")]


@pytest.mark.parametrize(("name", "architecture"), FAMILIES)
def test_a_family_of_a_package(name, architecture, generate):
    eager = [{**each, "overrides": {"execution": "eager"}} for each in ROUNDED]
    model, prompts, found = generate(name, architecture, [*EXACT, *ROUNDED, *eager])
    for tokens, said in found:
        assert not [message for message in said if "through torch" in message]
        assert all(len(each) == 24 for each in tokens)
    expected = found[0][0]
    for prompt, tokens in zip(prompts, expected, strict=True):
        chosen, gaps = reference.greedy_along(model, prompt, tokens)
        assert tokens == chosen
        assert min(gaps) > 1e-3
    for (tokens, _), options in zip(found[: len(EXACT)], EXACT, strict=True):
        assert tokens == expected, options
    # Kernels round activations as well, which may change a token, and then those after it.
    rounded = found[len(EXACT) :]
    for (native, _), (plain, _), options in zip(rounded, rounded[len(ROUNDED) :], ROUNDED, strict=False):
        same = [one[:4] == other[:4] for one, other in zip(native, plain, strict=True)]
        assert sum(same) >= 2, (options, native, plain)


def test_an_operation_of_a_package(generate):
    """It brings a C++ source and a Triton kernel; the reference in torch says what they must come to."""
    settings = [{"overrides": {"execution": execution}} for execution in ("eager", "native")]
    _, _, found = generate("llama_head_dim", "AcmeSineForCausalLM", [*settings, {"tensor_parallel": 2}])
    assert found[0][0] == found[1][0] == found[2][0]
    assert not [message for _, said in found for message in said if "through torch" in message]


def test_an_operation_of_a_package_on_a_gpu(generate):
    """In Triton's interpreter where there is none."""
    settings = [{"overrides": {"execution": execution, "device": "cpu"}} for execution in ("eager", "graph")]
    _, _, found = generate("llama_head_dim", "AcmeSineForCausalLM", settings, TRITON_INTERPRET="1")
    assert found[0][0] == found[1][0]
