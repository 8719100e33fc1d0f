"""Megatron's own checkpoints give Megatron's own tokens and logits, whatever they were saved with."""

import json
from pathlib import Path

import pytest
import torch
from support.logits import all_logits

from plugtron import LLM, SamplingParams

CHECKPOINTS = Path(__file__).parents[1] / "data" / "megatron"
NAMES = sorted(path.name for path in CHECKPOINTS.iterdir())
GREEDY = SamplingParams(temperature=0, max_tokens=24, ignore_eos=True)


def reference(name):
    own, neighbor = (CHECKPOINTS / folder / "reference.json" for folder in (name, name.removesuffix("_legacy")))
    return json.loads((own if own.is_file() else neighbor).read_text())["reference"]


@pytest.mark.parametrize("name", NAMES)
def test_greedy_tokens_alone_and_in_a_batch(name):
    expected = reference(name)
    prompts = [entry["prompt_tokens"] for entry in expected]
    with LLM(CHECKPOINTS / name, dtype="float32") as llm:
        together = llm.generate(prompts, GREEDY)
        alone = [llm.generate(prompt, GREEDY) for prompt in prompts]
    assert [request.error for request in together] == [None] * len(prompts)
    assert [request.tokens for request in together] == [entry["greedy_tokens"] for entry in expected]
    assert [request.tokens for request in alone] == [entry["greedy_tokens"] for entry in expected]


@pytest.mark.parametrize("name", NAMES)
def test_logits(name):
    with LLM(CHECKPOINTS / name, dtype="float32") as llm:
        for entry in reference(name):
            found = all_logits(llm, entry["prompt_tokens"])[-1]
            head = torch.tensor(entry["last_prompt_logits_head"])
            limit = 1e-4 * max(1.0, found.abs().max().item())
            assert (found[: len(head)] - head).abs().max() <= limit
            assert abs(found.logsumexp(0).item() - entry["last_prompt_logsumexp"]) <= limit
