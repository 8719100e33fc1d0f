"""Random weights in every supported configuration: the tokens and logits that transformers computes."""

import pytest
import torch
from support import models, reference
from support.logits import all_logits

from plugtron import LLM, SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=128, ignore_eos=True)
PLACES = [("cpu", "auto"), ("cpu", "eager"), pytest.param("cuda", "auto", marks=pytest.mark.gpu)]


@pytest.mark.parametrize(("device", "execution"), PLACES)
@pytest.mark.parametrize("name", models.every())
def test_greedy_tokens_alone_and_in_a_batch(name, device, execution, random_model):
    model, folder = random_model(name)
    prompts = models.prompts()
    with LLM(folder, dtype="float32", device=device, overrides={"execution": execution}) as llm:
        together = llm.generate(prompts, GREEDY)
        alone = llm.generate(prompts[3], GREEDY)
    assert [request.error for request in together] == [None] * len(prompts)
    assert alone.tokens == together[3].tokens
    for request in together:
        expected, gaps = reference.greedy_along(model, request.prompt_tokens, request.tokens)
        assert len(request.tokens) == 128
        assert request.tokens == expected
        assert min(gaps) > 1e-3, "weights that come near a tie prove nothing"
        assert len(set(expected[:32])) >= 8, "weights that stand still prove nothing"


@pytest.mark.parametrize(("device", "execution"), PLACES)
@pytest.mark.parametrize("name", models.every())
def test_logits(name, device, execution, random_model):
    model, folder = random_model(name)
    prompt = models.prompts()[-1]
    expected = reference.logits(model, prompt)
    with LLM(folder, dtype="float32", device=device, overrides={"execution": execution}) as llm:
        found = all_logits(llm, prompt)
    assert (found - expected).abs().max() <= 1e-4 * max(1.0, expected.abs().max().item())


def test_sharded_safetensors_are_one_model(random_model, tmp_path):
    model, folder = random_model("llama_untied")
    model.save_pretrained(tmp_path, max_shard_size="100KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    prompt = models.prompts()[4]
    with LLM(folder, dtype="float32") as whole, LLM(tmp_path, dtype="float32") as sharded:
        assert torch.equal(all_logits(whole, prompt), all_logits(sharded, prompt))
