"""The engine over llama.cpp itself, beside plugtron's own on the same file."""

import pytest

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.request import FinishReason

MODEL = "smollm2-135m-instruct"
PROMPTS = ["The capital of France is", "Once upon a time, in a small village by the sea,", "1, 2, 3, 4,"]
GREEDY = SamplingParams(temperature=0, max_tokens=16)


@pytest.fixture(scope="module")
def llm():
    options = {"max_batch_size": 2, "max_sequence_length": 128, "tokens_per_call": 4}
    overrides = {f"engine.options.{name}": value for name, value in options.items()}
    with LLM(MODEL, engine="llamacpp", overrides=overrides) as shared:
        yield shared


def test_greedy_tokens_are_next_to_those_of_plugtrons_own_engine(llm):
    answers = llm.generate(PROMPTS, GREEDY)
    with LLM(MODEL, quantization="as_stored", overrides={"engine.options.max_sequence_length": 128}) as own:
        expected = own.generate(PROMPTS, GREEDY)
    assert [answer.prompt_tokens for answer in answers] == [answer.prompt_tokens for answer in expected]
    same = sum(
        one == other
        for answer, wanted in zip(answers, expected, strict=True)
        for one, other in zip(answer.tokens, wanted.tokens, strict=False)
    )
    print(f"{same} of {len(PROMPTS) * 16} tokens are those of plugtron's own engine")
    assert same >= 0.8 * len(PROMPTS) * 16
    assert "Paris" in answers[0].text


def test_batched_answers_are_those_of_one_at_a_time(llm):
    together = [answer.tokens for answer in llm.generate(PROMPTS, GREEDY)]
    assert together == [llm.generate(prompt, GREEDY).tokens for prompt in PROMPTS]


def test_stops_lengths_and_reasons(llm):
    stopped = llm.generate(PROMPTS[0], SamplingParams(temperature=0, max_tokens=32, stop=["is"]))
    assert (stopped.finish_reason, stopped.stop_reason) == (FinishReason.STOP, "is")
    assert "is" not in stopped.text
    short = llm.generate(PROMPTS[0], SamplingParams(temperature=0, max_tokens=6))
    assert (len(short.tokens), short.finish_reason) == (6, FinishReason.LENGTH)
    ended = llm.chat([{"role": "user", "content": "Say hello."}], SamplingParams(temperature=0, max_tokens=64))
    assert ended.finish_reason is FinishReason.STOP
    assert ended.tokens[-1] == ended.stop_reason
    longest = llm.generate(list(range(300, 420)), SamplingParams(temperature=0, max_tokens=-1, ignore_eos=True))
    assert (len(longest.tokens), longest.finish_reason) == (8, FinishReason.LENGTH)
    assert "the prompt has 128 tokens" in llm.generate(list(range(300, 428)), GREEDY).error


def test_characters_of_several_tokens(llm):
    """Their ids all arrive, and their text with the last of them; of log probabilities there are none."""
    prompt = "Unicorns: 🦄🦄🦄🦄🦄🦄🦄🦄🦄🦄"
    unicorns = llm.generate(prompt, SamplingParams(temperature=0, max_tokens=12))
    assert any(len(character.encode()) > 2 for character in unicorns.text)
    tokenizer = llm.session.parts.tokenizer
    assert unicorns.text == tokenizer.decode(unicorns.tokens)
    asked = llm.generate(prompt, SamplingParams(temperature=0, max_tokens=12, logprobs=1))
    assert asked.error == "logprobs: llama.cpp has none of tokens that are parts of a character"


def test_streaming_and_aborting(llm):
    pieces = list(llm.stream(PROMPTS[1], GREEDY))
    assert len(pieces) >= 4
    assert "".join(piece.text for piece in pieces) == llm.generate(PROMPTS[1], GREEDY).text
    request = InferenceRequest(prompt=PROMPTS[1], params=SamplingParams(temperature=0, max_tokens=100))
    number = llm.session.add_request(request)
    while not request.tokens:
        llm.session.step()
    assert llm.session.abort_request(number)
    while llm.session.has_unfinished_requests:
        llm.session.step()
    assert request.finish_reason is FinishReason.ABORT
    assert llm.generate(PROMPTS[0], GREEDY).error is None


def test_draws_and_log_probabilities(llm):
    params = SamplingParams(temperature=1.2, top_k=50, top_p=0.95, min_p=0.01, seed=4, n=2, max_tokens=8, logprobs=2)
    first, second = (llm.generate(PROMPTS[1], params) for _ in range(2))
    assert [each.tokens for each in first.sequences] == [each.tokens for each in second.sequences]
    assert first.sequences[0].tokens != first.sequences[1].tokens
    entry = first.log_probs[0]
    assert entry.token == first.tokens[0]
    assert len(entry.top) == 2
    assert entry.value <= max(entry.top.values()) + 1e-6
    assert entry.text is not None


def test_other_parameters_are_refused(llm):
    assert "min_tokens: no part of this run uses it" in llm.generate("a", SamplingParams(min_tokens=2)).error
