"""Prompt lookup and guidance from a distribution that pip installed, which imports public names alone."""

import json

import pytest
import torch
from support import models, reference

SPEC = {"version": 1, "model": {"dtype": "float32"}, "seed": 5}
WAYS = {"static": {}, "dynamic": {"engine": "dynamic"}, "tensor": {"parallel": {"tensor": 2}, "engine": "dynamic"}}
PROMPTS = [prompt * 3 for prompt in models.prompts(4)]


@pytest.fixture(scope="module")
def run(acme, tmp_path_factory, random_model):
    folder = tmp_path_factory.mktemp("guesses")

    def run(sampling, **changes):
        spec = {**SPEC, **changes, "sampling": sampling, "prompts": [{"tokens": prompt} for prompt in PROMPTS]}
        spec["model"] = {**spec["model"], "checkpoint": str(random_model("llama_untied")[1])}
        path = folder / "run.json"
        path.write_text(json.dumps(spec))
        return [json.loads(line) for line in acme.plugtron("run", path, check=0).stdout.splitlines()]

    return run


@pytest.mark.parametrize("way", WAYS)
def test_lookup_of_a_package_changes_no_draw(way, run):
    sampled = {"temperature": 0.4, "top_k": 5, "max_tokens": 24, "repetition_penalty": 1.05}
    for sampling in ({"temperature": 0, "max_tokens": 24}, sampled):
        plain = run(sampling, **WAYS[way])
        guessed = run(sampling, controller="acme_lookup", **WAYS[way])
        assert [each["tokens"] for each in guessed] == [each["tokens"] for each in plain]
        assert sum(each.get("drafted_tokens", 0) for each in guessed) > 0


@pytest.mark.parametrize("way", WAYS)
@torch.inference_mode()
def test_guidance_of_a_package(way, run, random_model):
    model, _ = random_model("llama_untied")
    found = run({"temperature": 0, "max_tokens": 6, "acme_away": 1.5}, controller="acme_steered", **WAYS[way])
    for prompt, each in zip(PROMPTS, found, strict=True):
        tokens = []
        for _ in range(6):
            whole, bare = (reference.logits(model, [*start, *tokens])[-1] for start in (prompt, prompt[:1]))
            tokens.append(int((whole + 1.5 * (whole - bare)).argmax()))
        assert each["tokens"] == tokens
