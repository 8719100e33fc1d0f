"""Two and three real processes over gloo give what one gives, and share the weights between them."""

import json
from pathlib import Path

import pytest
from support import models, reference
from support.commands import ranks

from plugtron import LLM, SamplingParams
from plugtron.errors import ParallelError

GREEDY = SamplingParams(temperature=0, max_tokens=48, ignore_eos=True)
SEEDED = SamplingParams(temperature=0.9, top_p=0.95, top_k=50, seed=7, max_tokens=48, ignore_eos=True, logprobs=2)
PARAMS = [GREEDY, SEEDED]
TEXTS = ["The capital of France is", "Once upon a time", "def add(a, b):"]
NAMES = [
    *("llama_untied", "llama_biases", "mistral_window", "qwen2", "qwen3", "mixtral", "gpt2"),
    *("gemma3", "phi3_longrope", "granite", "olmo2"),
]
SUPPORT = Path(__file__).parent.parent / "support"


def results(requests):
    assert [request.error for request in requests] == [None] * len(requests)
    return [request.tokens for request in requests]


def test_default_model_over_three_ranks(default_model):
    each = [
        greedy := GREEDY.model_copy(update={"max_tokens": 24}),
        SEEDED.model_copy(update={"max_tokens": 24}),
        greedy,
    ]
    with LLM(default_model, dtype="float32") as one:
        expected = results(one.generate(TEXTS, each))
    with LLM(default_model, dtype="float32", tensor_parallel=3) as three:
        assert results(three.generate(TEXTS, each)) == expected


def test_default_model_over_two_ranks_is_refused(default_model):
    with pytest.raises(ParallelError, match=r"9 attention heads cannot be divided over 2 ranks \(possible: 1, 3, 9\)"):
        LLM(default_model, tensor_parallel=2)


@pytest.fixture(scope="module")
def over_two_ranks(random_model):
    """What each model draws over two ranks: one job for all of them."""
    params = [each.to_flat() for each in PARAMS]
    asked = {str(random_model(name)[1]): [models.prompts(), params] for name in NAMES}
    first, *_ = ranks(2, SUPPORT / "drawn_over_ranks.py", json.dumps({"tensor_parallel": 2}), json.dumps(asked))
    return json.loads(first)


@pytest.mark.parametrize("name", NAMES)
def test_random_models_over_two_ranks(name, random_model, over_two_ranks):
    model, folder = random_model(name)
    prompts = models.prompts()
    with LLM(folder, dtype="float32") as one:
        expected = [one.generate(prompts, params) for params in PARAMS]
    found = over_two_ranks[str(folder)]
    assert {error for answers in found for error, *_ in answers} == {None}
    assert [[tokens for _, tokens, _ in answers] for answers in found] == [results(each) for each in expected]
    for prompt, (_, tokens, _) in zip(prompts, found[0], strict=True):
        choices, gaps = reference.greedy_along(model, prompt, tokens)
        assert tokens == choices
        assert min(gaps) > 1e-3
    for one_request, (_, _, log_probs) in zip(expected[1], found[1], strict=True):
        pairs = zip(one_request.log_probs, log_probs, strict=True)
        assert all(
            abs(left.value - value) < 1e-4 and left.top.keys() == set(map(int, top)) for left, (value, top) in pairs
        )


def test_key_value_heads_are_replicated(random_model):
    """Two key-value heads over four ranks: each head is held twice."""
    _, folder = random_model("llama_tied")
    prompts = models.prompts(3)
    with LLM(folder, dtype="float32") as one, LLM(folder, dtype="float32", tensor_parallel=4) as four:
        assert results(four.generate(prompts, GREEDY)) == results(one.generate(prompts, GREEDY))


def test_vocabulary_that_ranks_do_not_divide(random_model, tmp_path):
    """321 rows over two ranks: one row of padding, which is never drawn."""
    model, _ = random_model("llama_untied")
    model.resize_token_embeddings(models.VOCAB + 1)
    model.save_pretrained(tmp_path)
    model.resize_token_embeddings(models.VOCAB)
    hot = SamplingParams(temperature=50.0, seed=1, max_tokens=200, ignore_eos=True)
    with LLM(tmp_path, dtype="float32") as one, LLM(tmp_path, dtype="float32", tensor_parallel=2) as two:
        expected, found = one.generate([5, 6], hot), two.generate([5, 6], hot)
    assert found.tokens == expected.tokens
    assert max(found.tokens) <= models.VOCAB


def test_each_rank_reads_and_holds_its_share(random_model):
    """Of safetensors, and of both of Megatron's formats, saved by one rank or two."""
    _, folder = random_model("llama_untied")
    checkpoints = Path(__file__).parents[1] / "data" / "megatron"
    names = ("gpt_rope_swiglu", "gpt_rope_swiglu_legacy", "gpt_saved_tp2", "gpt_saved_tp2_legacy")
    folders = [str(folder), *(str(checkpoints / name) for name in names)]
    whole, halves = shard_bytes(folders, 1), shard_bytes(folders, 2)
    for place in folders:
        (one,), shares = whole[place], halves[place]
        norms = sum(size for name, size in one["held"].items() if "norm" in name)
        for share in shares:
            assert share["read"] == norms + (one["read"] - norms) / 2, place
    for share in halves[str(folder)]:
        for name, size in share["held"].items():
            assert size == whole[str(folder)][0]["held"][name] / (1 if "norm" in name else 2), name


def shard_bytes(folders, count):
    first, *_ = ranks(count, SUPPORT / "shard_bytes.py", count, *folders, timeout=120)
    return json.loads(first)


def test_a_lost_rank_is_one_error_and_leaves_nothing_behind(random_model):
    _, folder = random_model("llama_untied")
    with pytest.raises(ParallelError, match="rank 1 was ended by SIGKILL"), LLM(folder, tensor_parallel=2) as llm:
        with pytest.raises(ParallelError, match="close the other model first"):
            LLM(folder, tensor_parallel=2)
        llm.session.parts.runtime.world.followers[0].kill()
        llm.generate([1], GREEDY)
    with pytest.raises(ParallelError, match="this model is closed, or has lost its ranks"):
        llm.generate([1], GREEDY)
    with LLM(folder, dtype="float32", tensor_parallel=2) as again:
        assert again.generate([1], GREEDY).error is None
