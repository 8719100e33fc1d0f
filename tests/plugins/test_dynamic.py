"""The dynamic engine gives the answers of the static one, whatever comes and goes beside them, and leaves no block."""

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.dynamic import GREEDY, dynamic
from support.fuzzing import examples

from plugtron import SamplingParams
from plugtron.context.blocks import BlockPool
from plugtron.errors import SpecError
from plugtron.request.request import InferenceRequest

VOCAB = 320


def options_of(random):
    size = random.choice([1, 2, 4, 8, 16])
    return {
        "block_size": size,
        "blocks": random.choice([20, 60, 128, 300]) // size + 2,
        "max_batch_size": random.choice([1, 2, 5, 16]),
        "max_step_tokens": random.choice([1, 3, 16, 512]),
        "prefix_caching": random.random() < 0.7,
        "async_scheduling": random.random() < 0.5,
    }


def requests_of(random, limit):
    """Requests of any length that fit, half of them with a common beginning, some with several answers."""
    common = [random.randrange(VOCAB) for _ in range(40)]
    for _ in range(random.randrange(1, 13)):
        length, answer = random.randrange(1, 40), random.randrange(1, 20)
        if length + answer > min(limit, 128):
            continue
        shares = random.random() < 0.5
        prompt = common[:length] if shares else [random.randrange(VOCAB) for _ in range(length)]
        temperature = random.choice([0, 1.0])
        params = SamplingParams(
            temperature=temperature,
            max_tokens=answer,
            seed=random.randrange(99),
            n=3 if temperature and random.random() < 0.3 else None,
            ignore_eos=True,
        )
        yield InferenceRequest(prompt=prompt, params=params, priority=random.randrange(3))


def assert_memory_is_held_once(engine):
    """What is held are the blocks of the tokens in memory, those that several sequences hold counted once."""
    if engine._under_way:
        return  # steps that are under way have their memory already
    pool, context, held = engine.context.pool, engine.context, set()
    for slot, sequence in engine._scheduler.active.items():
        blocks = context._held[slot].blocks if slot in context._held else []
        assert len(blocks) == -(-sequence.computed // context.block_size)
        held |= set(blocks)
    assert pool.held == len(held)
    assert pool.held + pool.kept <= pool.total
    if not context._prefix_caching:
        assert pool.kept == 0


def run_workload(random, answers, *, disk=None, **parallel):
    """Requests arrive and are aborted between steps; what is not aborted gets the right answer."""
    options = options_of(random)
    if disk is not None:
        options |= {"prefix_caching": True, "prefix_cache_disk": disk}
    if "pipeline_parallel" in parallel:
        options["async_scheduling"] = None  # its stages have steps of their own under way
    with dynamic(**options, **parallel) as llm:
        engine = llm.session.engine
        requests = list(requests_of(random, engine.context.max_length))
        coming, aborted = list(requests), set()
        while coming or engine.has_unfinished_requests:
            while coming and random.random() < 0.4:
                engine.add_request(coming.pop(0))
            open_requests = [request for request in requests if request.id is not None and not request.is_finished]
            if open_requests and random.random() < 0.05:
                chosen = random.choice(open_requests).id
                aborted.add(chosen)
                assert engine.abort_request(chosen)
            engine.step()
            assert_memory_is_held_once(engine)
        for request in requests:
            assert request.error is None
            if request.id not in aborted:
                found = [sequence.tokens for sequence in request.sequences]
                assert found == answers(request.prompt, request.params)
        assert engine.context.pool.held == 0


# A smaller example would take long to find, and the printed random seed repeats this one.
@settings(
    max_examples=examples(25, 400),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=(Phase.reuse, Phase.generate),
)
@given(random=st.randoms(use_true_random=False))
def test_any_workload(random, answers):
    run_workload(random, answers)


@pytest.mark.parametrize("parallel", [{"pipeline_parallel": 2}, {"tensor_parallel": 2}], ids=str)
def test_workloads_over_ranks(parallel, answers):
    import random

    for seed in range(3):
        run_workload(random.Random(seed), answers, **parallel)


@pytest.mark.parametrize("parallel", [{}, {"tensor_parallel": 2}, {"pipeline_parallel": 2}], ids=str)
@pytest.mark.wide
def test_workloads_with_prefixes_on_disk(parallel, answers, own):
    """Some of them with few blocks and others with many, over what those before have left on the disk."""
    import random

    for seed in range(20):
        run_workload(random.Random(seed % 10), answers, disk="1MB" if seed % 3 else "16MiB", **parallel)


def test_a_common_prefix_is_computed_once(answers):
    prompts = [[*range(64), 100 + tail] for tail in range(6)]
    with dynamic(block_size=16, max_step_tokens=80) as llm:
        engine, computed = llm.session.engine, []
        start_step = engine.controller.start_step
        engine.controller.start_step = lambda plan: (
            computed.extend(row.num_new for row in plan.rows),
            start_step(plan),
        )[1]
        assert llm.generate(prompts[0], GREEDY).tokens == answers(prompts[0], GREEDY)[0]
        before = sum(computed)
        assert [request.tokens for request in llm.generate(prompts[1:], GREEDY)] == [
            answers(prompt, GREEDY)[0] for prompt in prompts[1:]
        ]
        # Five times the one token that differs, and eleven decode steps.
        assert sum(computed) - before == 5 * (1 + 11)
        assert engine.context.pool.held == 0


def test_several_answers_share_their_prompt(answers):
    params = SamplingParams(temperature=1.0, seed=4, n=4, max_tokens=8, ignore_eos=True)
    prompt = [7] * 50
    with dynamic(block_size=16) as llm:
        engine = llm.session.engine
        request = InferenceRequest(prompt=prompt, params=params)
        engine.add_request(request)
        held = []
        while engine.has_unfinished_requests:
            engine.step()
            held.append(engine.context.pool.held)
        assert [sequence.tokens for sequence in request.sequences] == answers(prompt, params)
    # Three full blocks together, and each its own for the rest.
    assert max(held) == 3 + 4


def test_what_can_never_fit_fails_alone():
    with dynamic(block_size=4, blocks=8) as llm:
        short, long = llm.generate([[1, 2, 3], [5] * 40], GREEDY)
        assert short.error is None
        assert "the prompt has 40 tokens, and prompt and answer together may have 32" in long.error
    with pytest.raises(SpecError, match=r"engine\.options\.blocks: 1 of 1 tokens hold no sequence"):
        dynamic(block_size=1, blocks=1)


def test_a_request_that_cannot_be_started_fails_alone(answers):
    with dynamic() as llm:
        engine = llm.session.engine
        start = engine.controller.start_sequence

        def start_sequence(sequence):
            if sequence.request.prompt == [13]:
                raise LookupError("no such luck")
            start(sequence)

        engine.controller.start_sequence = start_sequence
        first, unlucky, last = llm.generate([[5, 6], [13], [7]], GREEDY)
        assert unlucky.error == "LookupError: no such luck"
        assert [first.tokens, last.tokens] == [answers([5, 6], GREEDY)[0], answers([7], GREEDY)[0]]
        assert engine.context.pool.held == 0


def test_higher_priority_goes_first():
    with dynamic(max_batch_size=1) as llm:
        engine, order = llm.session.engine, []
        for priority in (0, 5, 1):
            engine.add_request(InferenceRequest(prompt=[1, 2], params=GREEDY, priority=priority))
        while engine.has_unfinished_requests:
            order += [output.request.priority for output in engine.step() if output.finish_reason]
    assert order == [5, 1, 0]


def test_pool():
    pool = BlockPool(4)
    one, two = pool.take(), pool.take()
    pool.publish(one, b"one")
    pool.share(one)
    pool.release(one)
    assert (pool.held, pool.available) == (2, 1)
    pool.release(one)
    assert (pool.held, pool.available, pool.find(b"one")) == (1, 2, one)
    assert pool.take() != one  # free ones go first
    assert pool.take() == one
    assert (pool.find(b"one"), pool.available) == (None, 0)
    pool.release(two)
    with pytest.raises(AssertionError, match="released more often than held"):
        pool.release(two)
