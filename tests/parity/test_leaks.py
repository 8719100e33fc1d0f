"""Nothing of a request stays behind, however many there have been."""

import gc

import pytest
import torch

from plugtron import LLM, InferenceRequest, SamplingParams
from plugtron.request.request import InferenceSequence

#: Two drawn answers of three tokens, with log probabilities.
PARAMS = SamplingParams(temperature=0.8, top_p=0.9, top_k=40, max_tokens=3, n=2, logprobs=2, seed=1)


def serve(llm, count):
    for first in range(0, count, 50):
        requests = llm.generate([[number % 300, 5, 6] for number in range(first, first + 50)], PARAMS)
        assert not any(request.error for request in requests)


def held():
    """How many requests, sequences and tensors there are, and the bytes of a GPU that are in use."""
    gc.collect()
    kinds = (InferenceRequest, InferenceSequence, torch.Tensor)
    counts = [sum(issubclass(type(each), kind) for each in gc.get_objects()) for kind in kinds]
    return [*counts, torch.cuda.memory_allocated() if torch.cuda.is_available() else 0]


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_thousand_requests_leave_nothing_behind(device, random_model):
    overrides = {"engine.options.max_batch_size": 32, "engine.options.max_sequence_length": 32}
    with LLM(random_model("llama_tied")[1], engine="dynamic", device=device, overrides=overrides) as llm:
        serve(llm, 100)
        before = held()
        serve(llm, 1000)
        assert held() == before
        assert llm.session.engine.context.pool.held == 0


@pytest.mark.gpu
def test_what_steps_work_in_is_measured(random_model):
    """More for more tokens; and what is left has room for the graphs, which say what they have taken."""
    with LLM(random_model("llama_tied")[1], engine="dynamic", device="cuda") as llm:
        execution = llm.session.parts.wrapper.execution
        few, many = execution.peak_activation_bytes(8, 64, 128), execution.peak_activation_bytes(8, 512, 128)
        assert 0 < few < many
        assert execution.capture_seconds > 0
        assert execution.capture_bytes >= 0
        serve(llm, 50)
