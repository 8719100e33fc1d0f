"""All that can be tested where there is no TensorRT-LLM: what is checked, what is asked, and what is said."""

import sys

import pytest
import torch
from plugtron_tensorrt_llm.backend import sampling
from transformers import LlamaConfig, LlamaForCausalLM

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.errors import CheckpointError, PluginError, SpecError
from plugtron.request import InferenceSequence


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    sizes = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 1}
    model = LlamaForCausalLM(LlamaConfig(**sizes, num_attention_heads=4, max_position_embeddings=64))
    folder = tmp_path_factory.mktemp("model")
    model.save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (
            {"parallel.tensor": 2},
            "parallel.tensor: TensorRT-LLM starts its own ranks",
        ),
        ({"device": "cpu"}, "device: TensorRT-LLM runs on NVIDIA's GPUs"),
        ({"engine.options.max_batch": 2}, "engine.options.max_batch: no such option"),
        ({"engine.options.tensor_parallel": 0}, "engine.options.tensor_parallel: must be"),
        ({"sampling": {"logprobs": 1}}, "sampling.logprobs: no part of this run uses it"),
        ({"engine.options.max_sequence_length": 65}, "65 is more than the 64 positions"),
    ],
)
def test_what_it_cannot_do_is_refused(overrides, text, folder):
    with pytest.raises(SpecError) as raised:
        LLM(folder, engine="tensorrt_llm", overrides=overrides)
    assert text in str(raised.value)


def test_without_tensorrt_llm_it_says_how_to_install_it(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorrt_llm", None)
    with pytest.raises(PluginError, match="pip install tensorrt-llm"):
        LLM(folder, engine="tensorrt_llm")


def test_files_of_other_formats_are_refused():
    with pytest.raises(CheckpointError, match="reads Hugging Face folders"):
        LLM("smollm2-135m-instruct", engine="tensorrt_llm")


def test_what_is_asked_for():
    def asked(limit=64, **params):
        request = InferenceRequest(prompt=[1, 2], params=SamplingParams(**params), prompt_tokens=[1, 2])
        return sampling(InferenceSequence(request=request, index=0, seed=3), limit)

    assert asked(temperature=0, max_tokens=8)["top_k"] == 1
    assert asked(max_tokens=-1)["max_tokens"] == 62
    drawn = asked(temperature=0.5, top_k=-1, top_p=0.9, max_tokens=8)
    assert (drawn["temperature"], drawn["top_k"], drawn["top_p"], drawn["min_p"]) == (0.5, 0, 0.9, 0.0)
    assert (drawn["seed"], drawn["max_tokens"], drawn["ignore_eos"]) == (3, 8, True)
