"""Memory given back between two steps, and taken again: what is drawn is the same."""

from pathlib import Path

import pytest

from plugtron import LLM, SamplingParams
from plugtron.errors import EngineError
from plugtron.request import InferenceRequest

PROMPTS = [list(range(3, 40)), list(range(3, 30)), [7, 9, 11]]
BATCH = [
    SamplingParams(temperature=0, max_tokens=12),
    SamplingParams(temperature=1.0, top_k=20, seed=5, max_tokens=12),
    SamplingParams.from_flat({"temperature": 0, "max_tokens": 12, "prompt_logprobs": 1, "logprobs": 1}),
]

LAYOUTS = {
    "dynamic": {},
    "eager": {"overrides": {"execution": "eager"}},
    "two ranks": {"tensor_parallel": 2},
    "two stages": {"pipeline_parallel": 2},
    "graph": {"dtype": "bfloat16", "overrides": {"execution": "graph"}},
    "n-grams": {"overrides": {"controller": "speculative"}},
}


def opened(folder, **arguments):
    return LLM(folder, seed=1, **{"engine": "dynamic", "dtype": "float32"} | arguments)


def requests(longest=40, max_tokens=12):
    return [
        InferenceRequest(prompt=prompt[:longest], params=own.model_copy(update={"max_tokens": max_tokens}))
        for prompt, own in zip(PROMPTS, BATCH, strict=True)
    ]


def finish(session):
    while session.has_unfinished_requests:
        session.step()


def found(batch):
    assert [request.error for request in batch] == [None] * len(batch)
    probabilities = [[entry and round(entry.value, 4) for entry in request.prompt_log_probs] for request in batch]
    return [request.tokens for request in batch], probabilities


@pytest.mark.parametrize("weights", [False, True], ids=["keys and values", "weights, too"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_running_requests_go_on(checkpoints, layout, weights):
    sizes = (5, 6) if layout == "graph" else ()  # without a GPU, Triton's interpreter takes its time
    with opened(checkpoints[0], **LAYOUTS[layout]) as llm:
        undisturbed = requests(*sizes)
        for _ in llm.session.run(undisturbed):
            pass
        batch = requests(*sizes)
        for request in batch:
            llm.session.add_request(request)
        for _ in range(4):
            llm.session.step()
            llm.control.sleep(weights=weights)
            assert not llm.session.has_unfinished_requests
            assert llm.session.step() == []
            llm.control.wake()
        finish(llm.session)
        assert found(batch) == found(undisturbed)
        assert llm.session.engine.stats.blocks_used == 0


def test_a_draft_model_sleeps_too(checkpoints):
    first, second = checkpoints
    drafting = {"controller": {"name": "speculative", "options": {"draft_model": str(second)}}}
    with opened(first, overrides=drafting) as llm:
        undisturbed = requests()[:2]
        for _ in llm.session.run(undisturbed):
            pass
        batch = requests()[:2]
        for request in batch:
            llm.session.add_request(request)
        for _ in range(3):
            llm.session.step()
            llm.control.sleep(weights=True)
            llm.control.wake()
        finish(llm.session)
        assert found(batch) == found(undisturbed)


@pytest.mark.parametrize("layout", ["dynamic", "two ranks", "n-grams"])
def test_weights_are_given_back_after_keys_and_values(checkpoints, layout):
    with opened(checkpoints[0], **LAYOUTS[layout]) as llm:
        expected = [request.tokens for request in llm.generate(PROMPTS, BATCH)]
        wrapper = llm.session.parts.wrapper
        for weights in (False, True, True, False):
            held = wrapper._execution
            llm.control.sleep(weights=weights)
            assert (wrapper._execution is not None) == (held is not None and not weights)
        llm.control.wake()
        assert [request.tokens for request in llm.generate(PROMPTS, BATCH)] == expected


def test_weights_that_come_while_it_sleeps(checkpoints):
    first, second = checkpoints
    with opened(second) as llm:
        expected = [request.tokens for request in llm.generate(PROMPTS, BATCH)]
    with opened(first) as llm:
        llm.generate(PROMPTS, BATCH)
        llm.control.sleep(weights=True)
        assert llm.control.update_weights(second) == 1
        llm.control.wake()
        assert [request.tokens for request in llm.generate(PROMPTS, BATCH)] == expected


def test_requests_come_and_go_while_it_sleeps(checkpoints):
    with opened(checkpoints[0]) as llm:
        running, late = requests()[:2]
        number = llm.session.add_request(running)
        llm.session.step()
        llm.control.sleep()
        llm.control.sleep()  # once more changes nothing
        assert llm.session.abort_request(number)
        llm.session.add_request(late)
        llm.control.wake()
        finish(llm.session)
        assert running.finish_reason == "abort"
        assert len(late.tokens) == 12
        assert llm.session.engine.stats.blocks_used == 0


def test_the_static_engine_sleeps_between_batches(checkpoints):
    with opened(checkpoints[0], engine="static") as llm:
        request, other = requests()[:2]
        llm.session.add_request(request)
        llm.session.step()
        with pytest.raises(EngineError, match="let them end first"):
            llm.control.sleep()
        finish(llm.session)
        llm.control.sleep(weights=True)
        llm.session.add_request(other)
        llm.control.wake()
        finish(llm.session)
        assert len(request.tokens) == len(other.tokens) == 12


def test_memory_is_given_back(default_model):
    """Of a process of its own: others have tests beside this one."""
    with LLM(default_model, engine="dynamic", overrides={"engine.options.max_batch_size": 8}) as llm:
        llm.generate([list(range(100 + first, 1100 + first)) for first in range(8)], SamplingParams(max_tokens=1))
        before = resident_mb()
        llm.control.sleep(weights=True)
        asleep = resident_mb()
        llm.control.wake()
        again = llm.generate("Hello", SamplingParams(temperature=0, max_tokens=4))
    held = 8 * 1000 * 2 * 30 * 3 * 64 * 2 / 2**20  # tokens, keys and values, layers, heads, numbers, bytes
    assert before - asleep > 0.9 * held
    assert len(again.tokens) == 4


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 / 2**20
