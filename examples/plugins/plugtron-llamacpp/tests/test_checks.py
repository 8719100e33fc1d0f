"""What is refused, asked and read: without llama.cpp."""

from pathlib import Path

import pytest
from plugtron_llamacpp.completion import ask, read
from plugtron_llamacpp.options import LlamaCppOptions
from plugtron_llamacpp.precheck import precheck

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.contracts import ModelDescription
from plugtron.errors import SpecError
from plugtron.request import InferenceSequence


def sequence(params, tokens=(7,)):
    request = InferenceRequest(prompt=[1, 2], params=params, prompt_tokens=[1, 2])
    return InferenceSequence(request=request, index=0, seed=2**40 + 5, slot=1, tokens=list(tokens))


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        ({"parallel.tensor": 2}, "parallel.tensor: the engine llamacpp runs in one process"),
        ({"model.dtype": "float32"}, "model.dtype: llama.cpp takes weights as the file has them"),
        ({"samplers": ["top_k"]}, "samplers: this engine brings its own model, and does without"),
        ({"sampling": {"presence_penalty": 1.0}}, "sampling.presence_penalty: no part of this run uses it"),
        (
            {"sampling": {"logprobs": 1, "logprobs_mode": "processed"}},
            "sampling.logprobs_mode: the engine llamacpp has raw ones only",
        ),
        ({"engine.options.slots": 2}, "engine.options.slots: no such option"),
    ],
)
def test_what_it_cannot_do_is_refused_before_anything_is_loaded(overrides, text):
    with pytest.raises(SpecError) as raised:
        LLM("smollm2-135m-instruct", engine="llamacpp", overrides=overrides)
    assert text in str(raised.value)


def test_other_files_are_refused():
    folder = ModelDescription(format="huggingface", path=Path("x"), architecture="LlamaForCausalLM", configuration={})
    assert precheck(folder, LlamaCppOptions()) == ["llama.cpp reads GGUF files, and x is huggingface"]


def test_what_is_asked_for():
    params = SamplingParams(
        temperature=0.5, top_k=-1, repetition_penalty=1.1, logit_bias={4: 1.5, 5: "-inf"}, logprobs=2
    )
    asked = ask(sequence(params), 3)
    assert asked["prompt"] == [1, 2, 7]
    assert (asked["n_predict"], asked["n_probs"]) == (3, 2)
    assert (asked["temperature"], asked["top_k"], asked["top_p"], asked["min_p"]) == (0.5, 0, 1.0, 0.0)
    assert asked["logit_bias"] == [[4, 1.5], [5, False]]
    assert 0 <= asked["seed"] < 2**32 - 1
    assert asked["seed"] != ask(sequence(params, [7, 8]), 3)["seed"]


def test_what_is_answered():
    top = [{"id": 5, "logprob": -0.5}, {"id": 6, "logprob": -1.0}]
    reply = {"tokens": [5], "completion_probabilities": [{"id": 5, "logprob": -0.5, "top_logprobs": top}]}
    found = read(sequence(SamplingParams(logprobs=1)), reply)
    assert (found.tokens, found.log_probs[0].top) == ((5,), {5: -0.5})
    assert read(sequence(SamplingParams()), reply).log_probs == ()
    half = {"tokens": [5, 6], "completion_probabilities": reply["completion_probabilities"]}
    assert "parts of a character" in read(sequence(SamplingParams(logprobs=1)), half).error
    assert read(sequence(SamplingParams()), half).tokens == (5, 6)
    assert read(sequence(SamplingParams()), {"error": {"message": "too long"}}).error == "llama.cpp: too long"
