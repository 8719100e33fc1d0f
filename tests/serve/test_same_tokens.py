"""Served, a request has the tokens that it has offline: alone, beside others, and whatever the ranks are."""

import json
import threading

import pytest
from support.chat_fixtures import MODEL
from support.processes import await_end, children
from support.raw_http import answer, await_idle, posted
from support.serving import served

from plugtron import LLM

PROMPTS = ["The capital of France is", "Once upon a time", "Rain falls on", "In 1969", "def add(a, b):", "Dear Sir,"]
ASKED = [{"temperature": 0}, {"temperature": 0.9, "top_p": 0.9, "seed": 5}, {"top_k": 40, "seed": 6, "n": 2}]


def offline(**arguments):
    with LLM(MODEL, engine="dynamic", **arguments) as llm:
        requests = llm.generate(
            [prompt for prompt in PROMPTS for _ in ASKED],
            [{**each, "max_tokens": 12} for _ in PROMPTS for each in ASKED],
        )
        return [[sequence.tokens for sequence in request.sequences] for request in requests]


def asked_together(url):
    """All requests at once, half of them as streams; the tokens of each."""
    bodies = [
        {"prompt": prompt, **each, "max_tokens": 12, "return_token_ids": True} for prompt in PROMPTS for each in ASKED
    ]
    found = [None] * len(bodies)

    def ask(number):
        body = {**bodies[number], "stream": number % 2 == 1}
        status, data = answer(url, posted("/v1/completions", body))
        assert status == 200
        found[number] = streamed(data) if body["stream"] else whole(data)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def whole(data):
    return [choice["token_ids"] for choice in json.loads(data)["choices"]]


def streamed(data):
    tokens = {}
    for line in data.decode().splitlines():
        if line.startswith("data: {"):
            (choice,) = json.loads(line.removeprefix("data: "))["choices"]
            tokens.setdefault(choice["index"], []).extend(choice["token_ids"])
    return [tokens[index] for index in sorted(tokens)]


def test_beside_others(server, default_model):
    assert asked_together(server.url) == offline()
    await_idle(server.url)


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"parallel.tensor": 3}, id="three ranks"),
        pytest.param({"parallel.pipeline": 2}, id="two stages", marks=pytest.mark.wide),
        pytest.param({"engine": "static"}, id="static", marks=pytest.mark.wide),
        pytest.param({"controller": "speculative"}, id="speculative", marks=pytest.mark.wide),
    ],
)
def test_over_ranks_and_engines(default_model, settings):
    expected = offline(overrides=settings)
    with served(MODEL, *(part for name, value in settings.items() for part in ("--set", f"{name}={value}"))) as running:
        assert asked_together(running.url) == expected
        await_idle(running.url)


@pytest.mark.wide
def test_under_torchrun(default_model, tmp_path):
    """Rank 0 listens, and the others step with it."""
    expected = offline(overrides={"parallel.tensor": 3})
    launcher = ["-m", "torch.distributed.run", "--nproc-per-node", "3", "-m", "plugtron"]
    with served(MODEL, "--set", "parallel.tensor=3", launcher=launcher) as running:
        assert asked_together(running.url) == expected
        ranks = [pid for each in children(running.process.pid) for pid in (each, *children(each))]
        running.stop()
        await_end(ranks)
