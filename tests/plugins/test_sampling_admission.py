"""Parameters that cannot be: refused in a file, where they stand in one, and when a request comes in."""

import math

import pytest
import yaml

from plugtron import LLM, PluginManager, SamplingParams
from plugtron.errors import RequestError, SpecError
from plugtron.request.request import InferenceRequest
from plugtron.spec.load import Source, read
from plugtron.spec.resolution import resolve
from plugtron.testing.models import write_model

#: As they stand in a section of a file, and in a request.
WRONG = [
    ({"typical_p": 0}, "typical_p: must be greater than 0 (got 0)"),
    ({"typical_p": math.nan}, "typical_p: must be "),
    ({"typical_p": True}, "typical_p: must be a number (got True)"),
    ({"top_n_sigma": -2}, "top_n_sigma: must be at least -1 (got -2)"),
    ({"top_n_sigma": math.inf}, "top_n_sigma: must be at most 1000 (got inf)"),
    ({"epsilon_cutoff": 1.0}, "epsilon_cutoff: must be less than 1 (got 1.0)"),
    ({"eta_cutoff": "0.1"}, "eta_cutoff: must be a number (got '0.1')"),
    ({"no_repeat_ngram_size": 2.5}, "no_repeat_ngram_size: must be a whole number (got 2.5)"),
    ({"encoder_no_repeat_ngram_size": -1}, "encoder_no_repeat_ngram_size: must be at least 0 (got -1)"),
    ({"encoder_repetition_penalty": 1e-4}, "encoder_repetition_penalty: must be at least 0.001 (got 0.0001)"),
    ({"no_repeat_ngram_size": -1}, "no_repeat_ngram_size: must be at least 0 (got -1)"),
    ({"dry_multiplier": 1.0, "dry_base": 0.5}, "dry_base: must be at least 1 (got 0.5)"),
    ({"dry_multiplier": 1.0, "dry_allowed_length": 0}, "dry_allowed_length: must be at least 1 (got 0)"),
    ({"dry_multiplier": 1.0, "dry_sequence_breakers": [""]}, "dry_sequence_breakers.0: must not be empty (got '')"),
    ({"dry_multiplier": 1.0, "dry_sequence_breakers": "x"}, "dry_sequence_breakers: must be a list (got 'x')"),
    ({"xtc_probability": 1.5}, "xtc_probability: must be at most 1 (got 1.5)"),
    ({"xtc_probability": 0.5, "xtc_threshold": 0.6}, "xtc_threshold: must be at most 0.5 (got 0.6)"),
    ({"mirostat": 1}, "mirostat: must be 0 or 2 (got 1)"),
    ({"mirostat": False}, "mirostat: must be 0 or 2 (got False)"),
    ({"mirostat": 2, "mirostat_tau": 0}, "mirostat_tau: must be greater than 0 (got 0)"),
    ({"dynatemp_range": -0.1}, "dynatemp_range: must be at least 0 (got -0.1)"),
    ({"xtc_threshold": 0.2}, "xtc_threshold: changes nothing without xtc_probability"),
    ({"dry_range": 5}, "dry_range: changes nothing without dry_multiplier"),
    ({"dynatemp_exponent": 2.0}, "dynatemp_exponent: changes nothing without dynatemp_range"),
    ({"mirostat_eta": 0.2}, "mirostat_eta: changes nothing without mirostat"),
    ({"logit_bias": {3: math.inf}}, "logit_bias.3: must be from -1000000 to 1000000, or -inf (got inf)"),
    ({"logit_bias": {3: "-infinite"}}, "logit_bias.3: must be a number (got '-infinite')"),
    (
        {"allowed_token_ids": [3, 4], "logit_bias": {3: -math.inf, 4: -math.inf}},
        "logit_bias: is -inf for each of allowed_token_ids, so that none could be drawn",
    ),
    ({"bad_words": []}, "bad_words: must have at least 1 entry (got [])"),
    ({"bad_words": ["a\ufffd"]}, "bad_words: must not have U+FFFD in it"),
    ({"bad_words": ["\ud800"]}, "bad_words.0: must be Unicode text"),
    ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens: must be -1 or at least 1 (got 0)"),
    ({"seed": -2}, "seed: must be at least -1 (got -2)"),
    ({"typ_p": 0.5}, "typ_p: no such parameter. Here: typical_p."),
]
#: What depends on the model's tokens, and is known when a request comes in.
WRONG_HERE = [
    ({"dry_multiplier": 1.0, "dry_sequence_breakers": ["xyz"]}, "no token of this tokenizer has 'xyz' in its text"),
    ({"bad_words": ["a"], "allowed_token_ids": [64]}, "bad_words: each of allowed_token_ids has one of them in it"),
    (
        {"bad_words": ["a"], "skip_special_tokens": False, "spaces_between_special_tokens": True},
        "bad_words: cannot be looked for where spaces are put between special tokens",
    ),
    ({"logit_bias": {999: -math.inf}}, "logit_bias: 999 is no token of this model"),
    ({"truncate_prompt_tokens": -1, "max_tokens": 5000}, "max_tokens: 5000 leaves no room for a prompt within"),
]


#: Its ids are bytes, in an order of their own: 64 is "a".
@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("plain"), "plain")


@pytest.fixture(scope="module")
def with_texts(folder):
    with LLM(folder, dtype="float32") as llm:
        yield llm


@pytest.fixture(scope="module")
def manager():
    return PluginManager(builtins_only=True)


def problems(manager, folder, sampling, prompts=("a",)):
    values = {"model": {"checkpoint": str(folder)}, "sampling": sampling, "prompts": list(prompts)}
    try:
        resolve(Source(values=values), manager)
    except SpecError as error:
        return [str(problem) for problem in error.problems]
    return []


@pytest.mark.parametrize(("sampling", "complaint"), WRONG, ids=str)
def test_in_a_file(manager, folder, sampling, complaint):
    (problem,) = problems(manager, folder, sampling)
    assert f"sampling.{complaint}" in problem or f"sampling: {complaint}" in problem
    (problem,) = problems(manager, folder, {}, [{"prompt": "a", "sampling": sampling}])
    assert complaint in problem


@pytest.mark.parametrize(("sampling", "complaint"), [*WRONG[:-1], *WRONG_HERE], ids=str)
def test_when_a_request_comes_in(with_texts, sampling, complaint):
    try:
        params = SamplingParams.from_flat(sampling)
    except RequestError as error:
        assert complaint in str(error)
        return
    assert complaint in with_texts.generate("a", params).error


def test_what_a_parameter_needs_may_stand_elsewhere(manager, folder):
    on, off = {"prompt": "a", "sampling": {"xtc_probability": 0.5}}, {"prompt": "a"}
    assert not problems(manager, folder, {"xtc_threshold": 0.2}, [on])
    assert not problems(
        manager, folder, {"xtc_probability": 0.2}, [{"prompt": "a", "sampling": {"xtc_threshold": 0.3}}]
    )
    (problem,) = problems(manager, folder, {"xtc_threshold": 0.2}, [on, off, off])
    assert "sampling.xtc_threshold: changes nothing without xtc_probability" in problem


def test_words_need_a_tokenizer(small):
    for params in ({"bad_words": ["a"]}, {"dry_multiplier": 1.0, "dry_sequence_breakers": ["a"]}):
        refused = small.generate([1, 2], SamplingParams.from_flat(params))
        assert "this checkpoint has no tokenizer that knows the texts of tokens" in refused.error
    assert small.generate([1, 2], SamplingParams(extra={"dry_multiplier": 1.0}, max_tokens=3)).error is None


def test_minus_infinity_is_never_drawn(with_texts, folder, manager, tmp_path):
    """However it is written."""
    plain = with_texts.generate([5, 6], SamplingParams(temperature=0, max_tokens=1)).tokens[0]
    for bias in (-math.inf, "-inf", "-Infinity"):
        params = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True, logit_bias={plain: bias})
        assert plain not in with_texts.generate([5, 6], params).tokens
    for text in ("-.inf", "-inf"):
        path = tmp_path / "run.yaml"
        bias = yaml.safe_load(text)
        path.write_text(f"model: {{checkpoint: {folder}}}\nsampling: {{logit_bias: {{{plain}: {text}}}}}\n")
        assert resolve(read(path), manager).spec.sampling["logit_bias"] == {plain: bias}


def test_the_end_of_a_prompt(with_texts):
    greedy = SamplingParams(temperature=0, max_tokens=4, ignore_eos=True)
    prompt = list(range(40, 90))
    expected = with_texts.generate(prompt[-7:], greedy)
    cut = with_texts.generate(prompt, greedy.model_copy(update={"truncate_prompt_tokens": 7}))
    assert (cut.prompt_tokens, cut.tokens) == (prompt[-7:], expected.tokens)
    assert with_texts.generate(prompt, greedy.model_copy(update={"truncate_prompt_tokens": 99})).prompt_tokens == prompt
    limit = with_texts.session.engine.context.max_length
    long = with_texts.generate("ab" * limit, greedy.model_copy(update={"truncate_prompt_tokens": -1}))
    assert (long.error, len(long.prompt_tokens), len(long.tokens)) == (None, limit - 4, 4)


def test_the_seed_that_was_used_is_told_and_draws_the_same_again(folder):
    params = SamplingParams(temperature=1.5, max_tokens=12, ignore_eos=True)
    fresh, seeded = params.model_copy(update={"seed": -1}), params.model_copy(update={"seed": 7, "n": 2})
    with LLM(folder, dtype="float32", seed=3) as llm:
        requests = llm.generate([[5]] * 4, [params, fresh, fresh, seeded])
        seeds = [[each["seed"] for each in request.to_dict()["sequences"]] for request in requests]
        assert len({seed for each in seeds for seed in each}) == 5
        assert seeds[3][0] == 7
        for request, (seed, *_) in zip(requests, seeds, strict=True):
            assert llm.generate([5], params.model_copy(update={"seed": seed})).tokens == request.tokens
        again = InferenceRequest(prompt=[5], params=fresh)
        llm.session.engine.add_request(again)
    with LLM(folder, dtype="float32", seed=3) as other:
        same, another = other.generate([[5]] * 2, [params, fresh])
    assert same.sequences[0].seed == seeds[0][0]
    assert another.sequences[0].seed != seeds[1][0]
