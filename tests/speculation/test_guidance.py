"""Classifier-free guidance, beside transformers' logits after both prompts."""

import pytest
import torch
from support import models, reference

from plugtron import LLM

PROMPTS = [prompt for prompt in models.prompts(5) if len(prompt) > 1]
NEGATIVE = [3, 1, 4, 1, 5, 9, 2, 6]
WAYS = {
    "static": {},
    "dynamic": {"engine": "dynamic"},
    "chunks, preemption": {
        "engine": "dynamic",
        "overrides": {"engine.options.block_size": 4, "engine.options.blocks": 13, "engine.options.max_step_tokens": 9},
    },
    "tensor": {"tensor_parallel": 2},
    "pipeline": {"pipeline_parallel": 2, "engine": "dynamic"},
}


def guided(model, prompt, negative, scale, count):
    tokens = []
    for _ in range(count):
        towards, away = (
            reference.logits(model, [*start, *tokens])[-1].double().log_softmax(-1) for start in (prompt, negative)
        )
        tokens.append(int((away + scale * (towards - away)).argmax()))
    return tokens


@pytest.fixture(scope="module")
def expected(random_model):
    model, _ = random_model("llama_untied")
    with torch.inference_mode():
        return [guided(model, prompt, NEGATIVE, 2.5, 12) for prompt in PROMPTS]


def run(folder, params, **options):
    overrides = {"controller": "guidance", **options.pop("overrides", {})}
    with LLM(folder, dtype="float32", overrides=overrides, **options) as llm:
        found = llm.generate(PROMPTS, params), llm.session.engine.stats
    assert [request.error for request in found[0]] == [None] * len(PROMPTS)
    return found


@pytest.mark.parametrize("way", WAYS)
def test_they_are_transformers(way, random_model, expected):
    params = {"temperature": 0, "max_tokens": 12, "guidance_scale": 2.5, "negative_prompt": NEGATIVE}
    requests, stats = run(random_model("llama_untied")[1], params, **WAYS[way])
    assert [request.tokens for request in requests] == expected
    if "preemption" in way:
        assert stats.preemptions > 0


def test_rows_without_and_the_default(random_model):
    model, folder = random_model("llama_untied")
    plain = {"temperature": 0, "max_tokens": 6}
    params = [plain, {**plain, "guidance_scale": 1.0}, {**plain, "guidance_scale": 3.0}, plain]
    requests, _ = run(folder, params)
    with LLM(folder, dtype="float32") as llm:
        alone = llm.generate(PROMPTS, plain)
    for at in (0, 1, 3):
        assert requests[at].tokens == alone[at].tokens
    assert requests[2].tokens == guided(model, PROMPTS[2], PROMPTS[2][-1:], 3.0, 6)


def test_what_cannot_be_is_refused(random_model):
    folder = random_model("llama_untied")[1]
    overrides = {"controller": "guidance", "engine.options.max_sequence_length": 32}
    with LLM(folder, dtype="float32", overrides=overrides) as llm:
        for params, said in (
            ({"guidance_scale": -1.0}, "guidance_scale"),
            ({"guidance_scale": float("nan")}, "guidance_scale"),
            ({"negative_prompt": [1]}, "changes nothing without guidance_scale"),
            ({"guidance_scale": 2.0, "negative_prompt": [10**6]}, "no token of this model"),
            ({"guidance_scale": 2.0, "negative_prompt": "text"}, "no tokenizer"),
            ({"guidance_scale": 2.0, "negative_prompt": [1] * 30, "max_tokens": 4}, "more than the 32"),
        ):
            assert said in llm.generate(PROMPTS[0], params).error
    with LLM(folder, dtype="float32") as llm:
        assert "guidance_scale: no part of this run uses it" in llm.generate(PROMPTS[0], {"guidance_scale": 2.0}).error
