"""Checkpoints of models for embeddings: classes of transformers without a head, and GGUF files that name a pooling."""

import json

import pytest
import torch
from support import gguf_models, models
from transformers import MistralConfig, MistralModel, Qwen3Config, Qwen3Model

from plugtron import LLM
from plugtron.convert import convert
from plugtron.errors import CheckpointError, PlugtronError
from plugtron.plugin.manager import PluginManager
from plugtron.spec.load import Source
from plugtron.spec.resolution import resolve

PROMPTS = models.prompts()[2:5]


def save(model_class, config_class, folder, **differences):
    torch.manual_seed(5)
    config = config_class(**{**models.COMMON, **differences})
    model = model_class._from_config(config, attn_implementation="eager").eval()
    model.save_pretrained(folder)
    return model


def compare(llm, model):
    for request in llm.embed(PROMPTS, normalize=False):
        assert request.error is None
        with torch.inference_mode():
            wanted = model(torch.tensor([request.prompt_tokens])).last_hidden_state[0, -1]
        torch.testing.assert_close(torch.tensor(request.embedding), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "way",
    [
        {"engine": "dynamic"},
        pytest.param({"overrides": {"execution": "eager"}}, marks=pytest.mark.wide),
        pytest.param({"tensor_parallel": 2, "pipeline_parallel": 2}, marks=pytest.mark.wide),
    ],
)
def test_a_model_without_a_head_embeds_and_generates_nothing(way, tmp_path):
    model = save(MistralModel, MistralConfig, tmp_path, sliding_window=None, tie_word_embeddings=False)
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["MistralModel"]
    with LLM(tmp_path, dtype="float32", **way) as llm:
        compare(llm, model)
        for params in ({"max_tokens": 3}, {"max_tokens": 0, "prompt_logprobs": 1}):
            assert llm.generate(PROMPTS[0], params).error.startswith("this checkpoint has no head")


def test_a_head_that_is_the_embedding_is_there(tmp_path):
    model = save(Qwen3Model, Qwen3Config, tmp_path, tie_word_embeddings=True)
    with LLM(tmp_path, dtype="float32") as llm:
        compare(llm, model)
        token = llm.generate(PROMPTS[0], {"temperature": 0, "max_tokens": 1, "ignore_eos": True}).tokens
    with torch.inference_mode():
        last = model(torch.tensor([PROMPTS[0]])).last_hidden_state[0, -1]
        assert token == [int((model.embed_tokens.weight @ last).argmax())]


def test_one_without_a_head_is_not_converted(tmp_path):
    save(MistralModel, MistralConfig, tmp_path / "model", tie_word_embeddings=False)
    spec = Source(values={"version": 1, "model": {"checkpoint": str(tmp_path / "model")}})
    with pytest.raises(CheckpointError, match="has no head"):
        convert(resolve(spec, PluginManager()), tmp_path / "converted")


def test_a_gguf_file_may_name_its_pooling(tmp_path):
    model = gguf_models.make("qwen3")
    gguf_models.write_model(tmp_path / "last.gguf", model, pooling_type=3)
    with LLM(tmp_path / "last.gguf", dtype="float32") as llm:
        compare(llm, model.model)
    gguf_models.write_model(tmp_path / "rank.gguf", model, pooling_type=4)
    with pytest.raises(PlugtronError, match=r"pooling_type \(= 4\) is that of a model that ranks texts"):
        LLM(tmp_path / "rank.gguf")


@pytest.mark.parametrize("field", [{"is_causal": False}, {"use_bidirectional_attention": True}], ids=str)
def test_one_that_looks_ahead_is_refused(field, tmp_path):
    save(Qwen3Model, Qwen3Config, tmp_path, tie_word_embeddings=True)
    written = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**written, **field}))
    with pytest.raises(PlugtronError, match=next(iter(field))):
        LLM(tmp_path)
