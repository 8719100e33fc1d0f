"""What requests ask for and what they get: ends, seeds, log probabilities, failures beside successes."""

import json
import math

import pytest
import torch
from support.logits import all_logits

from plugtron import LLM, SamplingParams
from plugtron.contracts import Sampler
from plugtron.errors import ParallelError, RequestError
from plugtron.request.request import InferenceRequest
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.options import StaticOptions
from plugtron_engines.static import StaticEngine
from plugtron_samplers.params import TemperatureParams

GREEDY = SamplingParams(temperature=0, max_tokens=16)
PROMPT = "The capital of France is"


def test_one_prompt_or_a_list_of_texts_or_ids(llm):
    one = llm.generate(PROMPT, GREEDY)
    ids = llm.generate(one.prompt_tokens, GREEDY)
    several = llm.generate([PROMPT, "Once upon"], GREEDY)
    assert " Paris" in one.text
    assert ids.tokens == one.tokens == several[0].tokens
    assert [request.index for request in several] == [0, 1]
    assert llm.generate([], GREEDY) == []


def test_more_requests_than_slots(small):
    prompts = [[token, token + 1] for token in range(11)]
    together = small.generate(prompts, SamplingParams(temperature=0, max_tokens=9))
    alone = [small.generate(prompt, SamplingParams(temperature=0, max_tokens=9)) for prompt in prompts]
    assert [request.tokens for request in together] == [request.tokens for request in alone]


def test_ends(llm):
    length = llm.generate(PROMPT, GREEDY)
    assert (length.finish_reason, len(length.tokens)) == ("length", 16)
    chat = llm.chat([{"role": "user", "content": "Say hi."}], SamplingParams(temperature=0, max_tokens=60))
    assert chat.finish_reason == "stop"
    assert chat.sequences[0].stop_reason == chat.tokens[-1] == 2
    assert "<|im_end|>" not in chat.text
    ignoring = llm.chat(
        [{"role": "user", "content": "Say hi."}], SamplingParams(temperature=0, max_tokens=60, ignore_eos=True)
    )
    assert ignoring.finish_reason == "length"
    assert ignoring.tokens[: len(chat.tokens)] == chat.tokens
    until_limit = llm.generate([5] * 250, SamplingParams(temperature=0, ignore_eos=True))
    assert (until_limit.finish_reason, len(until_limit.tokens)) == ("length", 6)


def test_stop_texts_and_stop_tokens(llm):
    plain = llm.generate(PROMPT, GREEDY)
    stop = llm.generate(PROMPT, SamplingParams(temperature=0, max_tokens=16, stop=["aris"]))
    assert stop.text == plain.text[: plain.text.index("aris")]
    assert (stop.finish_reason, stop.sequences[0].stop_reason) == ("stop", "aris")
    token = llm.generate(PROMPT, SamplingParams(temperature=0, max_tokens=16, stop_token_ids=[plain.tokens[1]]))
    assert token.tokens == plain.tokens[:2]
    assert token.text == llm.session.parts.tokenizer.decode(plain.tokens[:1])


def test_a_text_far_beyond_the_limit_is_refused_before_it_is_tokenized(llm, monkeypatch):
    monkeypatch.setattr(llm.tokenizer, "encode", lambda *_, **__: pytest.fail("it was tokenized"))
    for ask in (llm.generate, lambda text, params: llm.chat([{"role": "user", "content": text}], params)):
        request = ask("word " * 2**20, GREEDY)
        assert "tokens or more, over the sequence limit of " in request.error


SEEDED = SamplingParams(temperature=1.0, seed=11, max_tokens=24, ignore_eos=True)


def test_seeded_draws_do_not_depend_on_the_batch(small):
    alone = small.generate([3, 4], SEEDED)
    others = [SamplingParams(temperature=2.0, seed=5), GREEDY, SamplingParams(temperature=0.5, top_k=3, top_p=0.5)]
    others = [params.model_copy(update={"max_tokens": 24, "ignore_eos": True}) for params in others]
    beside = small.generate([[9], [3, 4], [8, 8, 8], [1]], [others[0], SEEDED, others[1], others[2]])
    assert beside[1].tokens == alone.tokens
    again = small.generate([[9], [3, 4]], [others[0], SEEDED.model_copy(update={"seed": 12})])
    assert again[0].tokens == beside[0].tokens
    assert again[1].tokens != alone.tokens


def test_narrowing_stages_do_not_change_a_neighbors_draw(small):
    narrow = SEEDED.model_copy(update={"top_k": 7, "top_p": 0.8, "min_p": 0.01})
    alone = small.generate([3, 4], narrow)
    mixed = small.generate([[3, 4], [5]], [narrow, SEEDED])
    narrowed = small.generate([[3, 4], [5]], [narrow, narrow.model_copy(update={"top_k": 3})])
    assert alone.tokens == mixed[0].tokens == narrowed[0].tokens
    assert mixed[1].tokens == small.generate([5], SEEDED).tokens


def test_a_thousand_draws_follow_the_softmax(small):
    """The model's own distribution after one prompt, by a chi-square over likely tokens and the rest."""
    logits = all_logits(small, [3, 4])[-1] / 2.0
    params = [SamplingParams(temperature=2.0, seed=seed, max_tokens=1) for seed in range(1000)]
    drawn = [request.tokens[0] for request in small.generate([[3, 4]] * 1000, params)]
    expected = logits.softmax(0) * 1000
    found = torch.bincount(torch.tensor(drawn), minlength=len(expected)).float()
    likely = expected >= 8
    pairs = [*zip(found[likely], expected[likely], strict=True), (found[~likely].sum(), expected[~likely].sum())]
    assert len(pairs) > 10
    chi_square = sum(((f - e) ** 2 / e).item() for f, e in pairs)
    # Wilson and Hilferty's normal approximation: a chance of about one in a thousand to be above.
    degrees = len(pairs) - 1
    assert chi_square < degrees * (1 - 2 / (9 * degrees) + 3.09 * math.sqrt(2 / (9 * degrees))) ** 3


def test_several_answers(small):
    params = SamplingParams(temperature=1.0, seed=3, n=3, max_tokens=10, ignore_eos=True)
    request = small.generate([3, 4], params)
    answers = [sequence.tokens for sequence in request.sequences]
    assert len({tuple(answer) for answer in answers}) == 3
    assert answers[0] == request.tokens == small.generate([3, 4], params.model_copy(update={"n": None})).tokens
    assert [sequence.index for sequence in request.sequences] == [0, 1, 2]


def test_log_probabilities_are_of_the_raw_distribution(small):
    params = SamplingParams(temperature=3.0, top_k=2, seed=1, max_tokens=4, logprobs=3, ignore_eos=True)
    request = small.generate([3, 4], params)
    values = all_logits(small, [3, 4, *request.tokens])[1:-1].log_softmax(1)
    for position, entry in enumerate(request.log_probs):
        best = values[position].topk(3)
        assert entry.token == request.tokens[position]
        assert entry.value == pytest.approx(values[position, entry.token].item(), abs=1e-4)
        assert list(entry.top) == best.indices.tolist()
        assert list(entry.top.values()) == pytest.approx(best.values.tolist(), abs=1e-4)
    processed = small.generate([3, 4], params.model_copy(update={"logprobs_mode": "processed", "logprobs": 2}))
    assert processed.tokens == request.tokens
    for entry in processed.log_probs:
        assert sum(map(math.exp, entry.top.values())) == pytest.approx(1.0, abs=1e-4)


def test_a_wrong_request_fails_alone(llm):
    prompts = ["", [1] * 300, [10**9], PROMPT, [{"role": "user"}]]
    requests = llm.generate(prompts, GREEDY)
    errors = [request.error for request in requests]
    assert "the prompt is empty" in errors[0]
    assert "the prompt has 300 tokens, and prompt and answer together may have 256" in errors[1]
    assert "1000000000, which is no token of this model (0 to 49151)" in errors[2]
    assert errors[3] is None
    assert "messages.0: content is required" in errors[4]
    assert [request.finish_reason for request in requests] == ["error", "error", "error", "length", "error"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"temperature": -1}, "temperature: must be at least 0 (got -1)"),
        ({"temperature": "hot"}, "temperature: must be a number (got 'hot')"),
        ({"top_p": 0}, "top_p: must be greater than 0 (got 0)"),
        ({"temperatur": 1}, "temperatur: no such option"),
        ({"max_tokens": -2}, "max_tokens: must be at least -1 (got -2)"),
        ({"stop": [""]}, "an empty text would stop at once"),
        ({"temperature": 0, "n": 2}, "n: 2 answers with temperature 0 would all be the same"),
    ],
)
def test_wrong_parameters(values, text):
    with pytest.raises(RequestError) as caught:
        SamplingParams(**values)
    assert text in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("params", "text"),
    [
        (SamplingParams(extra={"acme": 1}), "acme: no part of this run uses it"),
        (SamplingParams(stop_token_ids=[320]), "stop_token_ids: 320 is no token of this model (accepted: 0 to 319)"),
        (SamplingParams(logit_bias={-1: 1.0}), "logit_bias: -1 is no token of this model"),
        (SamplingParams(allowed_token_ids=[999]), "allowed_token_ids: 999 is no token of this model"),
        (SamplingParams(logprobs=321), "logprobs: 321 is more than the 320 tokens of this model"),
        (SamplingParams(stop="x"), "stop: this checkpoint has no tokenizer"),
    ],
)
def test_refused_at_admission(params, text, small):
    assert text in small.generate([1], params).error


def test_without_a_tokenizer_ids_work_and_text_is_refused(small):
    assert small.generate([1, 2], SamplingParams(temperature=0, max_tokens=2)).error is None
    assert "no tokenizer: give the prompt as token ids" in small.generate("text").error


def test_wrong_number_of_parameters(small):
    with pytest.raises(ValueError, match="2 prompts and 1 sets of parameters"):
        small.generate([[1], [2]], [GREEDY])


class Failing(Sampler):
    """Raises where it is told to; everything else goes through."""

    params = TemperatureParams

    def __init__(self, where):
        self.where = where

    @classmethod
    def assemble(cls, parts, options):
        return cls("nowhere")

    def add(self, slot, sequence):
        self.fail("add", slot)

    def remove(self, slot):
        self.fail("remove", slot)

    def apply(self, candidates):
        for slot in candidates.slot_ids:
            self.fail("apply", slot)
        return candidates

    def accept(self, slot_ids, tokens):
        for slot in slot_ids:
            self.fail("accept", slot)

    def fail(self, where, slot):
        if where == self.where and slot == 1:
            raise OSError(f"failed in {where}")


@pytest.mark.parametrize("where", ["add", "apply", "accept"])
def test_a_sampler_that_raises_fails_its_own_request(where, small):
    parts = small.session.parts
    controller = SimpleTextGenerationController(parts.wrapper, None, [Failing(where)])
    engine = StaticEngine(controller, StaticOptions(max_batch_size=3, max_sequence_length=32))
    params = SamplingParams(temperature=0.5, seed=1, max_tokens=5, ignore_eos=True)
    for _ in range(2):  # and leaves the engine as it was
        requests = engine.generate([[1], [2], [3]], params)
        assert [request.error for request in requests] == [
            None,
            f"sampler {__name__}.Failing failed: OSError: failed in {where}",
            None,
        ]
        assert len(requests[0].tokens) == len(requests[2].tokens) == 5
    assert not engine.has_unfinished_requests


def test_no_token_left_fails_the_request(llm):
    params = SamplingParams(temperature=0, allowed_token_ids=[2], min_tokens=1, max_tokens=4)
    requests = llm.generate([PROMPT, PROMPT], [params, GREEDY])
    stages = "plugtron_samplers.allowed_tokens.AllowedTokens, plugtron_samplers.min_tokens.MinTokens"
    assert requests[0].error == f"no token is left that could be drawn (samplers that it goes through: {stages})"
    assert requests[1].error is None


@pytest.mark.parametrize(
    "values", [{"top_p": 1e-320, "seed": 1}, {"temperature": 1e-40, "seed": 1}, {"logit_bias": {5: 1e6}}]
)
def test_extreme_parameters(values, small):
    request = small.generate([3, 4], SamplingParams(max_tokens=3, ignore_eos=True, **values))
    assert request.error is None
    expected = [5, 5, 5] if "logit_bias" in values else small.generate([3, 4], GREEDY).tokens[:3]
    assert request.tokens == expected


@pytest.mark.parametrize("values", [{"logit_bias": {5: 1e300}}, {"top_k": 10**23}, {"logit_bias": {5: math.nan}}])
def test_values_that_no_float_holds_are_refused(values):
    with pytest.raises(RequestError):
        SamplingParams(**values)


def test_what_a_request_tells(llm):
    request = llm.generate("Hello", SamplingParams(temperature=0, max_tokens=3, logprobs=2, stop=["nothing"]))
    told = json.loads(json.dumps(request.to_dict()))
    (answer,) = told["sequences"]
    assert answer["text"] == request.text
    assert "".join(entry["text"] for entry in answer["logprobs"]) == request.text
    assert all(len(entry["top_texts"]) == 2 for entry in answer["logprobs"])
    assert len(repr(request)) < 120
    assert len(repr(request.sequences[0])) < 120
    assert "<b>" in request._repr_html_()
    assert repr(llm).startswith("<LLM ")
    assert llm.tokenizer.decode(request.tokens) == request.text
    stopped = llm.generate("Hello", SamplingParams(temperature=0, max_tokens=3, stop_token_ids=[request.tokens[0]]))
    assert stopped.stop_reason == request.tokens[0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"deadline": 10**400},
        {"deadline": True},
        {"deadline": float("nan")},
        {"prompt": b"bytes"},
        {"prompt": [True]},
        {"prompt": None},
        {"priority": True},
        {"priority": 10**400},
        {"params": {"temperature": 0}},
    ],
)
def test_wrong_values_fail_their_request_alone(wrong, small):
    requests = [InferenceRequest(**{"prompt": [3], "params": GREEDY, **each}) for each in ({}, wrong)]
    for _ in small.session.run(requests):
        pass
    assert requests[0].error is None
    assert requests[1].error


def test_a_special_token_as_a_stop_text(llm):
    tokenizer = llm.tokenizer
    token = tokenizer.encode("<|im_start|>")[0]
    always = {"temperature": 0, "allowed_token_ids": [token], "max_tokens": 4, "ignore_eos": True}
    stopped = llm.generate("Hi", SamplingParams(**always, stop=["<|im_start|>"]))
    assert (stopped.tokens, stopped.finish_reason, stopped.stop_reason, stopped.text) == (
        [token],
        "stop",
        "<|im_start|>",
        "",
    )
    kept = llm.generate("Hi", SamplingParams(**always, stop=["<|im_start|>"], include_stop_str_in_output=True))
    assert kept.text == "<|im_start|>"
    refused = llm.generate("Hi", SamplingParams(**always, stop=["\n<|im_start|>"]))
    assert "has the special token '<|im_start|>' in it" in refused.error
    shown = llm.generate("Hi", SamplingParams(**always, skip_special_tokens=False))
    assert shown.text == "<|im_start|>" * 4
    spaced = {"skip_special_tokens": False, "spaces_between_special_tokens": True}
    assert llm.generate("Hi", SamplingParams(**always, **spaced)).text == " ".join(["<|im_start|>"] * 4)
    early = llm.generate("Hi", SamplingParams(**always, stop=["<|im_start|>"], min_tokens=1))
    assert early.error.startswith(
        "no token is left that could be drawn (samplers that it goes through: "
    )  # nothing else is allowed


def test_stop_texts_may_stay(llm):
    whole = llm.generate("The capital of France is", SamplingParams(temperature=0, max_tokens=8)).text
    stop = whole[3:6]
    for keep, end in ((True, 6), (None, 3)):
        params = SamplingParams(temperature=0, max_tokens=8, stop=[stop], include_stop_str_in_output=keep)
        assert llm.generate("The capital of France is", params).text == whole[: whole.index(stop) + end - 3]


def test_a_request_is_run_once(small):
    request = InferenceRequest(prompt=[1], params=GREEDY)
    list(small.session.run([request]))
    with pytest.raises(RequestError, match="has been added before"):
        list(small.session.run([request]))
    assert small.generate([1], GREEDY).tokens == request.tokens


def test_after_closing(random_model):
    llm = LLM(random_model("llama_untied")[1], dtype="float32")
    llm.close()
    llm.close()
    with pytest.raises(ParallelError, match="this model is closed"):
        llm.generate([1])


def test_a_step_that_fails_takes_its_batch_along_and_nothing_else(random_model):
    with LLM(random_model("llama_untied")[1], dtype="float32") as llm:
        wrapper = llm.session.parts.wrapper
        beside = InferenceRequest(prompt=[9], params=GREEDY)
        llm.session.engine.add_request(beside)
        stream = llm.stream([3, 4], GREEDY)
        next(stream)
        run, wrapper.run_one_forward_step = wrapper.run_one_forward_step, None
        with pytest.raises(TypeError):
            next(stream)
        wrapper.run_one_forward_step = run
        assert beside.error.startswith("a step failed: TypeError")
        assert llm.generate([3, 4], GREEDY).error is None


def test_every_answer_of_an_aborted_request_has_a_last_word(small):
    engine = small.session.engine
    request = InferenceRequest(prompt=[3], params=SamplingParams(n=6, seed=1, max_tokens=30, ignore_eos=True))
    request_id = engine.add_request(request)
    engine.step()
    assert engine.abort_request(request_id)
    ends = []
    while engine.has_unfinished_requests:
        ends += [output.sequence for output in engine.step() if output.finish_reason == "abort"]
    assert sorted(ends) == [0, 1, 2, 3, 4, 5]
    assert not engine.abort_request(request_id)
    assert small.generate([3], GREEDY).error is None
