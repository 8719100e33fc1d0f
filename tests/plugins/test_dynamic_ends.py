"""How requests end, and engines: late, refused, failed, interrupted; and what is counted on the way."""

import pytest
from support.dynamic import CHECKPOINT, GREEDY, dynamic

from plugtron import LLM, SamplingParams
from plugtron.errors import SpecError
from plugtron.request.request import InferenceRequest, Outstanding


@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_a_request_that_is_late_ends_with_what_it_has(engine):
    with LLM(CHECKPOINT, dtype="float32", engine=engine) as llm:
        late = InferenceRequest(prompt=[1, 2], params=GREEDY, deadline=1e-6)
        patient = InferenceRequest(prompt=[1, 2], params=GREEDY, deadline=600.0)
        running = InferenceRequest(prompt=[3], params=GREEDY)
        wrong = InferenceRequest(prompt=[3], params=GREEDY, deadline=-1.0)
        session = llm.session
        for request in (late, patient, running, wrong):
            session.add_request(request)
        outputs = [*session.step(), *session.step()]
        assert (late.finish_reason, late.tokens) == ("deadline", [])
        assert wrong.error == "deadline: -1.0 seconds are over before it arrives"
        assert [output.finish_reason for output in outputs if output.request is late] == ["deadline"]
        session.engine._intake._deadlines[running.id] = 0.0  # its time is up while it runs
        while session.has_unfinished_requests:
            session.step()
        assert (running.finish_reason, len(running.tokens)) == ("deadline", 2)
        assert (patient.finish_reason, len(patient.tokens)) == ("length", 12)
        assert session.engine.stats.blocks_used == 0


@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_no_tokens_asked_for(engine, answers):
    with LLM(CHECKPOINT, dtype="float32", engine=engine) as llm:
        none, some = llm.generate([[1, 2], [5, 6]], [GREEDY.model_copy(update={"max_tokens": 0}), GREEDY])
        assert (none.finish_reason, none.tokens, none.error) == ("length", [], None)
        assert some.tokens == answers([5, 6], GREEDY)[0]
        refused = llm.generate([10_000], SamplingParams(max_tokens=0))
        assert "no token of this model" in refused.error


def test_edges_of_blocks_and_chunks(answers):
    """Prompts around a block's edge, and a prompt of one token; a chunk is one token or a block more or less."""
    prompts = [list(range(1, length + 1)) for length in (1, 7, 8, 9, 15, 16, 17)]
    for budget in (1, 7, 8, 9):
        with dynamic(block_size=8, max_step_tokens=budget) as llm:
            for _ in range(2):  # the second time from memory
                assert [request.tokens for request in llm.generate(prompts, GREEDY)] == [
                    answers(prompt, GREEDY)[0] for prompt in prompts
                ]
            assert llm.session.engine.context.pool.held == 0


def test_salts_keep_prefixes_apart(answers):
    prompt = [*range(40)]
    with dynamic(block_size=8) as llm:

        def cached(salt):
            request = InferenceRequest(prompt=prompt, params=GREEDY, cache_salt=salt)
            for _ in llm.session.run([request]):
                pass
            assert request.tokens == answers(prompt, GREEDY)[0]
            return request.cached_tokens

        assert [cached("") for _ in range(2)] == [0, 32]
        assert [cached("tenant a") for _ in range(2)] == [0, 32]
        assert cached("tenant b") == 0


def test_memory_in_bytes():
    # 3 layers, keys and values of 32 numbers, in float32.
    token = 3 * 2 * 32 * 4
    with dynamic(block_size=8, memory=f"{token * 8 * 5 + 100}B") as llm:
        assert llm.session.engine.context.pool.total == 5
    with pytest.raises(SpecError, match=r"engine\.options\.kv_cache_memory: 100 bytes hold no block, which takes 6144"):
        dynamic(block_size=8, memory=100)
    with pytest.raises(SpecError, match="give blocks or kv_cache_memory, not both"):
        dynamic(blocks=5, kv_cache_memory="1GiB")


def test_what_is_counted(answers):
    """Two sequences in a pool that holds one and a half: the later one is computed again."""
    with dynamic(block_size=4, blocks=8, prefix_caching=False) as llm:
        requests = llm.generate([[1] * 8, [2] * 8], SamplingParams(temperature=0, max_tokens=16, ignore_eos=True))
        stats = llm.session.engine.stats
        assert [request.preemptions for request in requests] == [0, 1]
        assert stats.preemptions == 1
        assert (stats.peak_running, stats.peak_blocks_used, stats.blocks_used) == (2, 8, 0)
        assert (stats.prompt_tokens, stats.cached_tokens, stats.hit_rate) == (16, 0, 0.0)
        assert stats.tokens > 2 * (8 + 15)
        for request in requests:
            timings = request.timings
            assert 0 <= timings.queue <= timings.time_to_first_token <= timings.total
            assert 0 < timings.inter_token <= timings.max_inter_token < timings.total
            assert len(request.sequences[0].token_times) == 16
    with dynamic(block_size=8) as llm:
        llm.generate([[1] * 17], GREEDY)
        llm.generate([[1] * 17], GREEDY)
        stats = llm.session.engine.stats
        assert (stats.cached_tokens, stats.hit_rate) == (16, 16 / 34)
        assert stats.steps == 24
        assert stats.cached_blocks == 3


def test_several_answers_and_small_pools_over_stages(answers):
    """Where the next in turn has to wait, the step that is under way is finished all the same."""
    params = SamplingParams(temperature=1.0, seed=1, n=2, max_tokens=4, ignore_eos=True)
    with dynamic(pipeline_parallel=2, block_size=8, blocks=4) as llm:
        engine = llm.session.engine
        requests = [InferenceRequest(prompt=[1, 2, 3], params=params)]
        requests += [InferenceRequest(prompt=[token] * 20, params=GREEDY) for token in (4, 5, 6)]
        for request in requests:
            engine.add_request(request)
        for _ in range(500):
            engine.step()
        assert not engine.has_unfinished_requests
        for request in requests:
            assert [sequence.tokens for sequence in request.sequences] == answers(request.prompt, request.params)


def test_stages_have_work_while_requests_wait():
    with dynamic(pipeline_parallel=2, max_batch_size=4) as llm:
        engine, under_way = llm.session.engine, []
        start = engine.controller.start_step
        engine.controller.start_step = lambda plan: (under_way.append(len(engine._under_way)), start(plan))[1]
        llm.generate([[token, 2, 3] for token in range(12)], GREEDY)
        assert under_way.count(1) > 0.9 * len(under_way)


def test_wrong_fields_of_a_request_fail_it_alone(answers):
    with dynamic() as llm:
        wrong = [
            InferenceRequest(prompt=[4], params=GREEDY, cache_salt="\ud800"),
            InferenceRequest(prompt=[4], params=GREEDY, cache_salt=None),
            InferenceRequest(prompt=[4], params=GREEDY, priority=None),
        ]
        right = InferenceRequest(prompt=[5, 6], params=GREEDY)
        for _ in llm.session.run([*wrong[:2], right, wrong[2]]):
            pass
        assert right.tokens == answers([5, 6], GREEDY)[0]
        for request, place in zip(wrong, ("cache_salt", "cache_salt", "priority"), strict=True):
            assert request.error.startswith(f"{place}: must be a")


def test_each_sequence_is_reported_with_its_own_end():
    params = SamplingParams(temperature=1.0, n=2, seed=1, max_tokens=30, ignore_eos=True)
    with dynamic() as llm:
        engine = llm.session.engine
        first, second = (sequence.tokens for sequence in llm.generate([1, 2, 3], params).sequences)
        stop = next(token for token in first if token not in second[: first.index(token) + 6])
        request = InferenceRequest(prompt=[1, 2, 3], params=params.model_copy(update={"stop_token_ids": [stop]}))
        engine.add_request(request)
        while request.sequences[0].finish_reason is None:
            engine.step()
        engine.abort_request(request.id)
        assert [(output.sequence, output.finish_reason) for output in engine.step()] == [(1, "abort")]


@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_a_closed_engine_has_nothing_more_to_do(engine):
    with LLM(CHECKPOINT, dtype="float32", engine=engine) as llm:
        running, engine = InferenceRequest(prompt=[1], params=GREEDY), llm.session.engine
        engine.add_request(running)
        engine.step()
        engine.close()
        assert not engine.has_unfinished_requests
        assert running.finish_reason == "abort"
        assert not engine.abort_request(running.id)


@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_an_interrupt_is_nobodys_failure(engine):
    with LLM(CHECKPOINT, dtype="float32", engine=engine) as llm:
        short, long = (
            InferenceRequest(prompt=[token], params=GREEDY.model_copy(update={"max_tokens": most}))
            for token, most in ((1, 2), (2, 9))
        )
        engine = llm.session.engine
        finish = engine.controller.finish_step

        def interrupted(pending):
            finish(pending)
            raise KeyboardInterrupt

        engine.add_request(short)
        engine.add_request(long)
        engine.step()
        engine.controller.finish_step = interrupted
        with pytest.raises(KeyboardInterrupt):
            engine.step()
        engine.controller.finish_step = finish
        while engine.has_unfinished_requests:
            engine.step()
        assert [request.finish_reason for request in (short, long)] == ["length", "abort"]
        assert short.error is None
        assert long.error is None


def test_what_is_no_number_reaches_nobody(answers):
    """A request whose values overflow fails, and whoever gets its memory does not notice."""
    with dynamic(block_size=4, blocks=8, max_batch_size=2) as llm:
        engine = llm.session.engine
        start = engine.controller.start_step
        broken = InferenceRequest(prompt=[9] * 13, params=GREEDY)

        def overflowing(plan):
            for row in plan.rows:
                if engine._scheduler.active[row.slot].request is broken:
                    for state in engine.context.layers:
                        state.values[engine.context._held[row.slot].blocks] = float("nan")
            return start(plan)

        engine.controller.start_step = overflowing
        for _ in llm.session.run([broken]):
            pass
        engine.controller.start_step = start
        assert broken.error.startswith("the logits are not finite")
        prompts = [[1] * 9, [2] * 2, [9] * 13]
        assert [request.tokens for request in llm.generate(prompts, GREEDY)] == [
            answers(prompt, GREEDY)[0] for prompt in prompts
        ]


def test_a_request_is_over_when_all_its_sequences_have_been_reported():
    """A failed one counts as finished at once, while the step of another of its sequences may still be under way."""
    with dynamic() as llm:
        params = SamplingParams(temperature=1.0, n=2, seed=1, max_tokens=2, ignore_eos=True)
        request = InferenceRequest(prompt=[1, 2, 3], params=params)
        outputs = list(llm.session.run([request]))
    last = {output.sequence: output for output in outputs if output.finish_reason is not None}
    assert request.is_finished
    outstanding = Outstanding()
    assert not outstanding.note(last[1])
    assert not outstanding.note(last[1])
    assert outstanding.note(last[0])
