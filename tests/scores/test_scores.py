"""Scores of continuations and texts, beside transformers'; the command line."""

import json
import math

import pytest
from support import models, reference
from support.commands import plugtron

from plugtron import LLM
from plugtron.errors import RequestError

SHARED = [11 + at % 80 for at in range(40)]


def expected(model, prompt, continuation):
    scores = reference.logits(model, [*prompt, *continuation]).double().log_softmax(-1)[len(prompt) - 1 : -1]
    values = [float(row[token]) for row, token in zip(scores, continuation, strict=True)]
    return values, scores.argmax(-1).tolist() == continuation


@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_continuations_are_transformers(engine, random_model):
    model, folder = random_model("llama_untied")
    greedy = reference.logits(model, SHARED)[-1].argmax().item()
    continuations = [[greedy], [5, 6, 7], [9], [greedy, 3], [12] * 9]
    with LLM(folder, dtype="float32", engine=engine) as llm:
        found = llm.score(SHARED, continuations)
        single = llm.score(SHARED, [5, 6, 7])
        pairs = llm.score([[3], SHARED[:7]], [[4, 5], [6]])
        computed = llm.session.engine.stats.tokens
    for score, continuation in zip(found, continuations, strict=True):
        values, is_greedy = expected(model, SHARED, continuation)
        assert [entry.value for entry in score.log_probs] == pytest.approx(values, abs=1e-4)
        assert score.log_prob == pytest.approx(sum(values), abs=1e-3)
        assert score.is_greedy == is_greedy
    assert found[0].is_greedy
    assert single == found[1]
    assert pairs[0].log_prob == pytest.approx(sum(expected(model, [3], [4, 5])[0]), abs=1e-4)
    if engine == "dynamic":  # the prompt once, and of each other request what lies beyond the last whole block
        most = len(SHARED) + sum(16 + len(continuation) for continuation in [*continuations, [5, 6, 7]]) + 3 + 8
        assert computed <= most


def test_texts_are_tokenized_as_one(default_model):
    with LLM(default_model, dtype="float32", engine="dynamic") as llm:
        prompt, answers = "The capital of France is", [" Paris", " London", " Paris, and"]
        scores = llm.score(prompt, answers)
        ids = llm.tokenizer.encode
        for score, answer in zip(scores, answers, strict=True):
            assert ids(prompt) + list(score.tokens) == ids(prompt + answer)
        assert llm.score(prompt + " ", "Paris").tokens == scores[0].tokens
    assert scores[0].is_greedy
    assert scores[0].log_prob > scores[1].log_prob
    assert [entry.text for entry in scores[0].log_probs] == [" Paris"]


def test_perplexity_of_texts_that_fit_and_that_do_not(random_model):
    model, folder = random_model("llama_untied")
    short, long = models.prompts()[4], [7 + at * at % 90 for at in range(100)]
    with LLM(folder, dtype="float32", overrides={"engine.options.max_sequence_length": 32}) as llm:
        one, several = llm.perplexity([short, long])
        narrow = llm.perplexity(long, window=8)
        nothing = llm.perplexity([[4], short])
    values, _ = expected(model, short[:1], short[1:])
    assert one.value == pytest.approx(math.exp(-sum(values) / len(values)), rel=1e-4)
    for found, size in ((several, 32), (narrow, 8)):
        total = 0.0
        for start in range(0, len(long) - 1, size - 1):
            piece = long[start : start + size]
            total += sum(expected(model, piece[:1], piece[1:])[0])
        assert found.tokens == 99
        assert found.log_prob == pytest.approx(total, rel=1e-4)
    assert "fewer than two tokens" in nothing[0].error
    assert nothing[1] == one


def test_what_is_wrong_is_said_of_its_own_alone(random_model):
    _, folder = random_model("llama_untied")
    with LLM(folder, dtype="float32", overrides={"engine.options.max_sequence_length": 32}) as llm:
        scores = llm.score([[3, 4], [3, 4], [5], [6] * 40], [[5], [], [10**6], [7]])
        whole = llm.score([6] * 31, [7])
        for arguments, said in (
            ((["a"], [[1]]), "both texts, or both token ids"),
            (("a", "b"), "no tokenizer"),
            (([[1], [2]], [[1], [2], [3]]), "2 prompts and 3 continuations"),
            (([[{"role": "user", "content": "a"}]], [[1]]), "not messages"),
        ):
            with pytest.raises(RequestError, match=said):
                llm.score(*arguments)
    assert scores[0].error is None
    assert [said in (score.error or "") for score, said in zip(scores, ("", "empty", "no token", "32"), strict=True)]
    assert math.isnan(scores[1].log_prob)
    assert whole.error is None


def test_the_command_scores_a_file(default_model, tmp_path):
    lines = [
        {"prompt": "The capital of France is", "continuation": " Paris"},
        {"text": "To be or not to be, that is the question."},
        {"prompt": "a", "continuation": ""},
    ]
    file = tmp_path / "texts.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    done = plugtron("score", file, "--model", default_model)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0
    assert [each["index"] for each in found] == [0, 1, 2]
    assert found[0]["is_greedy"]
    assert 1 < found[1]["perplexity"] < 100
    assert found[2]["error"] == "the continuation is empty"
    file.write_text('{"x": 1}\n{"text": "a", "prompt": "b"}\n{"text": 3}\n')
    missing = plugtron("score", tmp_path / "none.jsonl")
    assert (missing.returncode, "FILE: cannot read" in missing.stderr) == (2, True)
    done = plugtron("score", file, "--model", default_model)
    assert done.returncode == 2
    assert [place in done.stderr for place in (":1: x: no such option", ":2:", ":3: text")] == [True] * 3
