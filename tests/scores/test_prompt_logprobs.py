"""Log probabilities of prompts, beside transformers' on the same weights."""

import json

import pytest
from support import models, reference
from support.commands import plugtron

from plugtron import LLM

PROMPTS = [prompt for prompt in models.prompts(6) if len(prompt) > 1]
PARAMS = {"temperature": 0, "max_tokens": 12, "ignore_eos": True, "prompt_logprobs": 3}
SMALL_STEPS = {"engine.options.block_size": 4, "engine.options.max_step_tokens": 7}
WAYS = {
    "static": {},
    "dynamic": {"engine": "dynamic"},
    "chunked prefill": {"engine": "dynamic", "overrides": SMALL_STEPS},
    "preemption": {"engine": "dynamic", "overrides": {**SMALL_STEPS, "engine.options.blocks": 14}},
    "tensor": {"tensor_parallel": 2},
    "pipeline": {"pipeline_parallel": 2, "engine": "dynamic"},
}


def expected(model, prompt):
    """For each token of the prompt but the first: its log probability, and those of all tokens."""
    scores = reference.logits(model, prompt).double().log_softmax(-1)
    return [(float(scores[at, token]), scores[at]) for at, token in enumerate(prompt[1:])]


def compare(request, model, first=1):
    prompt, found = request.prompt_tokens, request.prompt_log_probs
    assert request.error is None
    assert found[:first] == [None] * first
    assert [entry.token for entry in found[first:]] == prompt[first:]
    for entry, (value, everything) in zip(found[first:], expected(model, prompt)[first - 1 :], strict=True):
        assert entry.value == pytest.approx(value, abs=1e-4)
        best = everything.topk(3)
        assert list(entry.top.values()) == pytest.approx(best.values.tolist(), abs=1e-4)
        assert set(entry.top) == set(best.indices.tolist())


@pytest.mark.parametrize("way", WAYS)
def test_they_are_transformers(way, random_model):
    model, folder = random_model("llama_untied")
    with LLM(folder, dtype="float32", **WAYS[way]) as llm:
        plain = llm.generate(PROMPTS, {**PARAMS, "prompt_logprobs": None})
        requests = llm.generate(PROMPTS, PARAMS)
        stats = llm.session.engine.stats
    assert [request.tokens for request in requests] == [request.tokens for request in plain]
    for request in requests:
        compare(request, model)
    if way == "preemption":
        assert stats.preemptions > 0


def test_a_cached_prefix_makes_none_disappear(random_model):
    model, folder = random_model("llama_untied")
    prompt = [7 + at % 90 for at in range(40)]
    with LLM(folder, dtype="float32", engine="dynamic", overrides={"engine.options.block_size": 4}) as llm:
        assert llm.generate(prompt, {"max_tokens": 1}).error is None
        whole = llm.generate(prompt, PARAMS)
        compare(whole, model)
        assert whole.cached_tokens == 0
        end = llm.generate(prompt, {**PARAMS, "prompt_logprobs_start": 30, "max_tokens": 0})
    compare(end, model, first=30)
    assert end.cached_tokens == 28  # whole blocks before the logits of token 29, which token 30 follows
    assert (end.finish_reason, end.tokens) == ("length", [])


def test_several_answers_report_one_prompt(random_model):
    model, folder = random_model("llama_untied")
    with LLM(folder, dtype="float32", engine="dynamic") as llm:
        request = llm.generate(PROMPTS[0], {"n": 3, "max_tokens": 3, "prompt_logprobs": 3, "seed": 1})
    compare(request, model)
    assert [len(sequence.tokens) for sequence in request.sequences] == [3, 3, 3]


def test_a_token_that_follows_nothing_is_reported_all_the_same(random_model):
    _, folder = random_model("llama_untied")
    with LLM(folder, dtype="float32") as llm:
        alone, rest = llm.generate(
            [[7], [7, 8, 9]],
            [
                {"prompt_logprobs": 1, "max_tokens": 1},
                {"prompt_logprobs": 1, "prompt_logprobs_start": 3, "max_tokens": 1},
            ],
        )
    assert alone.prompt_log_probs == [None]
    assert rest.prompt_log_probs == [None, None, None]


def test_replicas_report_them_with_their_texts(default_model, tmp_path):
    spec = {"version": 1, "model": {"checkpoint": str(default_model), "dtype": "float32"}}
    spec["sampling"] = {"temperature": 0, "max_tokens": 2, "prompt_logprobs": 1, "logprobs": 1}
    spec["prompts"] = ["The capital of France is", "Two and two are"]
    found = []
    for parallel in ({}, {"data": 2}):
        path = tmp_path / "spec.json"
        path.write_text(json.dumps({**spec, "parallel": parallel}))
        done = plugtron("run", path, check=0)
        found.append([json.loads(line) for line in done.stdout.splitlines()])
    for one, other in zip(*found, strict=True):
        assert other["prompt_logprobs"] == one["prompt_logprobs"]
        assert other["logprobs"] == one["logprobs"]
    assert found[1][0]["prompt_logprobs"][1]["text"] == " capital"


def test_what_cannot_be_reported_is_refused(random_model):
    _, folder = random_model("llama_untied")
    prompt = PROMPTS[0]
    with LLM(folder, dtype="float32") as llm:
        for params, said in (
            ({"prompt_logprobs": 10**6}, "prompt_logprobs: 1000000 is more than"),
            ({"prompt_logprobs": 1, "prompt_logprobs_start": len(prompt) + 1}, "prompt_logprobs_start"),
            ({"prompt_logprobs_start": 1}, "without prompt_logprobs"),
            ({"echo": True}, "echo: this checkpoint has no tokenizer"),
        ):
            assert said in llm.generate(prompt, params).error


def test_echo_begins_with_the_prompt(default_model):
    with LLM(default_model) as llm:
        text = llm.generate("The capital of France is", {"temperature": 0, "max_tokens": 2}).text
        echoed = list(llm.stream("The capital of France is", {"temperature": 0, "max_tokens": 2, "echo": True}))
        ids = llm.tokenizer.encode("The capital of France is")
        given = llm.generate(ids, {"temperature": 0, "max_tokens": 2, "echo": True})
    assert "".join(output.text for output in echoed) == "The capital of France is" + text == given.text
