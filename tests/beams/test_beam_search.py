"""Beams are those of transformers' generate."""

import pytest
import torch
from support import models

from plugtron import LLM

PROMPTS = [prompt for prompt in models.prompts(5) if len(prompt) > 1]
WAYS = {
    "static": {},
    "dynamic": {"engine": "dynamic"},
    "chunks": {
        "engine": "dynamic",
        "overrides": {"engine.options.block_size": 4, "engine.options.blocks": 13, "engine.options.max_step_tokens": 9},
    },
    "tensor": {"tensor_parallel": 2},
    "pipeline": {"pipeline_parallel": 2, "engine": "dynamic"},
}
#: Ends that come early, late, or never, and what is preferred.
CASES = {
    "plain": {"beam_width": 3, "max_tokens": 14},
    "early": {"beam_width": 4, "max_tokens": 20, "early_stopping": True, "length_penalty": 0.6},
    "never": {"beam_width": 3, "max_tokens": 12, "early_stopping": "never", "length_penalty": 2.0},
    "short": {"beam_width": 2, "max_tokens": 16, "length_penalty": -1.0},
    "one": {"beam_width": 1, "max_tokens": 8},
}
#: Tokens that end an answer: about one in twenty.
ENDS = list(range(0, 320, 20))


@torch.inference_mode()
def expected(model, prompt, case):
    found = model.generate(
        torch.tensor([prompt]),
        num_beams=case["beam_width"],
        num_return_sequences=case["beam_width"],
        max_new_tokens=case["max_tokens"],
        length_penalty=case.get("length_penalty", 1.0),
        early_stopping=case.get("early_stopping", False),
        eos_token_id=ENDS,
        pad_token_id=0,
        do_sample=False,
    )
    answers = [row[len(prompt) :] for row in found.tolist()]
    return [cut(answer) for answer in answers]


def cut(tokens):
    """An answer up to its end, without padding."""
    for at, token in enumerate(tokens):
        if token in ENDS:
            return tokens[: at + 1]
    return tokens


def asked(case):
    return {**case, "n": case["beam_width"], "stop_token_ids": ENDS}


def run(folder, params, **options):
    overrides = {"controller": "beam_search", **options.pop("overrides", {})}
    with LLM(folder, dtype="float32", overrides=overrides, **options) as llm:
        return llm.generate(PROMPTS, params)


@pytest.fixture(scope="module")
def reference(random_model):
    model, _ = random_model("llama_untied")
    return {name: [expected(model, prompt, case) for prompt in PROMPTS] for name, case in CASES.items()}


@pytest.mark.parametrize("way", WAYS)
def test_they_are_transformers(way, random_model, reference):
    options = dict(WAYS[way])
    overrides = {"controller": "beam_search", **options.pop("overrides", {})}
    with LLM(random_model("llama_untied")[1], dtype="float32", overrides=overrides, **options) as llm:
        every = {name: llm.generate(PROMPTS, asked(case)) for name, case in CASES.items()}
    for name, requests in every.items():
        assert [request.error for request in requests] == [None] * len(PROMPTS)
        found = [[one.tokens for one in request.sequences] for request in requests]
        assert found == reference[name], name
        assert {one.finish_reason for request in requests for one in request.sequences} <= {"stop", "length"}


def test_more_requests_than_beams_and_drawn_ones_beside(random_model, reference):
    folder = random_model("llama_untied")[1]
    beams = {**CASES["plain"], "stop_token_ids": ENDS, "logprobs": 0}
    greedy = {"temperature": 0, "max_tokens": 14, "stop_token_ids": ENDS}
    few = {"name": "beam_search", "options": {"max_beams": 3}}
    requests = run(folder, [beams, greedy, beams, beams], engine="dynamic", overrides={"controller": few})
    for at in (0, 2, 3):
        assert requests[at].tokens == reference["plain"][at][0]
        assert [entry.token for entry in requests[at].log_probs] == requests[at].tokens
    with LLM(folder, dtype="float32") as llm:
        assert requests[1].tokens == llm.generate(PROMPTS[1], greedy).tokens


def test_an_abort_gives_everything_back(random_model):
    folder = random_model("llama_untied")[1]
    overrides = {"controller": {"name": "beam_search", "options": {"max_beams": 3}}}
    with LLM(folder, dtype="float32", engine="dynamic", overrides=overrides) as llm:
        from plugtron.request import InferenceRequest, SamplingParams

        session = llm.session
        for _ in range(3):
            params = SamplingParams.from_flat({"beam_width": 3, "max_tokens": 50, "ignore_eos": True})
            request = InferenceRequest(prompt=PROMPTS[0], params=params)
            number = session.add_request(request)
            for _ in range(4):
                session.step()
            session.abort_request(number)
            while session.has_unfinished_requests:
                session.step()
            assert request.finish_reason == "abort"
        assert llm.generate(PROMPTS[0], {"beam_width": 3, "max_tokens": 4}).error is None
        memory = session.parts.controller._memory
        assert (memory._left, len(memory._free), memory.context.pool.held) == (3, 6, 0)


def test_what_beams_do_without_is_refused(random_model):
    folder = random_model("llama_untied")[1]
    for params, said in (
        ({"beam_width": 17}, "max_beams"),
        ({"beam_width": 2, "n": 3}, "n: 3 answers are more than beam_width, 2"),
        ({"beam_width": 2, "top_k": 5}, "top_k: a beam search does without it"),
        ({"beam_width": 0}, "beam_width"),
        ({"length_penalty": 1.0}, "length_penalty: changes nothing without beam_width"),
        ({"beam_width": 2, "early_stopping": "soon"}, "early_stopping"),
        ({"beam_width": 2, "logprobs": 2}, "logprobs: 2 with beams"),
    ):
        assert said in run(folder, params)[0].error
