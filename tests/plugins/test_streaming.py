"""Streams give what generate gives, bit by bit, side by side, and leave nothing behind."""

import pytest
import torch

from plugtron import SamplingParams
from plugtron.errors import RequestError
from plugtron.request.request import InferenceRequest

GREEDY = SamplingParams(temperature=0, max_tokens=16)
PROMPT = "The capital of France is"


def test_streaming_yields_what_generate_returns(llm):
    params = SamplingParams(temperature=0, max_tokens=40, stop=["capital of Germ"])
    whole = llm.generate(PROMPT, params)
    outputs = list(llm.stream(PROMPT, params))
    assert "".join(output.text for output in outputs) == whole.text
    assert [token for output in outputs for token in output.tokens] == whole.tokens
    assert outputs[-1].finish_reason == whole.finish_reason


def test_streams_take_what_generate_takes(small):
    params = {"temperature": 0, "max_tokens": 2}
    tokens = small.generate([7, 8], params).tokens
    for prompt in (torch.tensor([7, 8]), (token for token in [7, 8])):
        assert [token for output in small.stream(prompt, params) for token in output.tokens] == tokens
    for wrong in (3, {}, [[7], [8]]):
        with pytest.raises(RequestError):
            list(small.stream(wrong, params))
    with pytest.raises(RequestError, match="parameters are SamplingParams"):
        small.generate([7], 3)


def test_leaving_a_stream_early_leaves_nothing_behind(small):
    params = SamplingParams(temperature=0, max_tokens=20)
    expected = small.generate([7], params).tokens
    stream = small.stream([7], params)
    next(stream)
    stream.close()
    assert small.generate([7], params).tokens == expected
    assert not small.session.engine.has_unfinished_requests


def test_the_first_of_many_are_ready_before_the_last_are_looked_at(small):
    requests = [InferenceRequest(prompt=[1, 2], params=SamplingParams(max_tokens=1)) for _ in range(100_000)]
    running = small.session.run(requests)
    while not requests[0].is_finished:
        next(running)
    assert sum(request.id is not None for request in requests) < 10_000
    running.close()
    assert small.generate([7], GREEDY).tokens
    assert not small.session.engine.has_unfinished_requests


def test_engine_streams_a_request_of_its_own(small):
    request = InferenceRequest(prompt=[7, 8], params=SamplingParams(temperature=0, max_tokens=5))
    outputs = list(small.session.engine.stream(request))
    assert [token for output in outputs for token in output.tokens] == request.tokens
    refused = InferenceRequest(prompt=[], params=SamplingParams())
    assert [output.request.error for output in small.session.engine.stream(refused)] == [refused.error]


def test_streams_side_by_side(small):
    params = SamplingParams(temperature=0, max_tokens=6, ignore_eos=True)
    expected = [small.generate(prompt, params).tokens for prompt in ([3, 4], [9])]
    streams = [small.stream(prompt, params) for prompt in ([3, 4], [9])]
    found = [[], []]
    for pair in zip(*streams, strict=True):
        for tokens, output in zip(found, pair, strict=True):
            tokens += output.tokens
    assert found == expected
    stream = small.stream([3, 4], params)
    first = next(stream)
    assert small.generate([9], params).tokens == expected[1]
    assert [*first.tokens, *(token for output in stream for token in output.tokens)] == expected[0]
