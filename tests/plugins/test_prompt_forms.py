"""Prompts and parameters in any form that Python has for them, and what is none."""

import numpy as np
import pytest
import torch

from plugtron import SamplingParams
from plugtron.errors import RequestError

GREEDY = SamplingParams(temperature=0, max_tokens=16)


def test_prompts_of_other_libraries(small):
    expected = small.generate([3, 4], GREEDY).tokens
    for prompt in ((3, 4), torch.tensor([3, 4]), torch.tensor([3, 4]).numpy(), list(torch.tensor([3, 4]).numpy())):
        assert small.generate(prompt, GREEDY).tokens == expected
    assert small.generate(torch.tensor([[3, 4], [5, 6]]), GREEDY)[0].tokens == expected


@pytest.mark.parametrize("prompts", [None, 5, b"hi", {"a": 1}, {1, 2}, [None], [[1], 2.5], [True]])
def test_what_is_no_prompt(prompts, small):
    with pytest.raises(RequestError, match="a prompt is a text or a list of token ids"):
        small.generate(prompts)


def test_what_is_no_conversation_and_no_parameters(small):
    for messages in ("hi", [1], [["hi"]]):
        with pytest.raises(RequestError, match="a conversation is a list of messages"):
            small.chat(messages)
    for params in ([GREEDY, None], [GREEDY, 3]):
        with pytest.raises(RequestError, match="parameters are SamplingParams"):
            small.generate([[1], [2]], params)
    for params in ({"temperature": True}, {"top_k": "3"}, {"stop_token_ids": [True]}, {"seed": 1.0}):
        with pytest.raises(RequestError, match=f"^{next(iter(params))}"):
            small.generate([[1], [2]], params)


def test_forms_of_prompts_and_parameters(small):
    expected = [small.generate([token], GREEDY).tokens for token in (3, 4)]
    prompts = ([token] for token in (3, 4))
    assert [request.tokens for request in small.generate(prompts, GREEDY.to_flat(), progress=True)] == expected
    numbers = np.array([3, 5])
    params = {"allowed_token_ids": numbers, "max_tokens": np.int64(2), "temperature": np.float32(0), "min_length": 1}
    request = small.generate([3], params)
    assert (request.error, len(request.tokens)) == (None, 2)
    with pytest.raises(RequestError, match="min_tokens: is given twice"):
        SamplingParams.from_flat({"min_length": 1, "min_tokens": 2})
