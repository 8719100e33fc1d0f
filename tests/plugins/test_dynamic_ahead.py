"""Steps that are started before the last one's tokens are known: when they are, and that nothing shows of it."""

import pytest
from support.dynamic import GREEDY, dynamic

from plugtron.errors import SpecError
from plugtron.request.request import InferenceRequest
from plugtron_samplers.penalties import Penalties


def watch(engine):
    """Note which steps are started and finished, in order."""
    controller, events = engine.controller, []
    start, finish = controller.start_step, controller.finish_step

    def start_step(plan):
        events.append(("start", plan.step, len(plan.rows)))
        return start(plan)

    def finish_step(pending):
        events.append(("finish", pending.plan.step, len(pending.plan.rows)))
        return finish(pending)

    controller.start_step, controller.finish_step = start_step, finish_step
    return events


def run(prompts, params, **options):
    with dynamic(async_scheduling=True, **options) as llm:
        engine = llm.session.engine
        events = watch(engine)
        requests = [InferenceRequest(prompt=prompt, params=params) for prompt in prompts]
        for request in requests:
            engine.add_request(request)
        while engine.has_unfinished_requests:
            engine.step()
        assert engine.context.pool.held == 0
        return [request.tokens for request in requests], events


def test_the_next_step_is_started_before_the_last_is_finished(answers):
    params = GREEDY.model_copy(update={"max_tokens": 4})
    tokens, events = run([[5, 6], [7]], params)
    assert tokens == [answers(prompt, params)[0] for prompt in ([5, 6], [7])]
    # That the fourth token is the last is known: nothing is computed in vain.
    order = [("start", 0), ("start", 1), ("finish", 0), ("start", 2), ("finish", 1), ("start", 3), ("finish", 2)]
    assert [event[:2] for event in events] == [*order, ("finish", 3)]
    assert {event[2] for event in events} == {2}


def test_an_end_that_is_found_late_leaves_nothing(answers):
    whole = answers([5, 6], GREEDY)[0]
    place = next(place for place in range(2, 12) if whole[place] not in whole[:place])
    params = GREEDY.model_copy(update={"stop_token_ids": [whole[place]]})
    (tokens,), events = run([[5, 6]], params)
    assert tokens == answers([5, 6], params)[0]
    assert tokens == whole[: place + 1]
    # The step after the last token's was under way already.
    assert events[-1] == ("finish", place + 1, 1)


def test_an_end_is_reported_at_once(answers):
    """What was started in vain is not waited for by another call."""
    whole = answers([5, 6], GREEDY)[0]
    params = GREEDY.model_copy(update={"stop_token_ids": [whole[3]], "min_tokens": 3})
    with dynamic(async_scheduling=True) as llm:
        engine = llm.session.engine
        request = InferenceRequest(prompt=[5, 6], params=params)
        engine.add_request(request)
        outputs = []
        while not any(output.finish_reason for output in outputs):
            outputs = engine.step()
        assert (request.is_finished, engine.has_unfinished_requests, engine.context.pool.held) == (True, False, 0)


def test_the_fewest_tokens_are_counted_in_time(answers):
    """The token that the host has not seen yet counts."""
    whole = answers([5, 6], GREEDY)[0]
    for least in range(1, 8):
        params = GREEDY.model_copy(update={"stop_token_ids": sorted({*whole}), "min_tokens": least})
        (tokens,), events = run([[5, 6]], params)
        assert tokens == answers([5, 6], params)[0]
        assert least == 1 or events[1][0] == "start", "not ahead"


def test_steps_wait_for_chunks_and_for_who_waits(answers):
    prompts = [[*range(1, 20)], [9, 8]]
    tokens, events = run(prompts, GREEDY, max_step_tokens=7, max_batch_size=1)
    assert tokens == [answers(prompt, GREEDY)[0] for prompt in prompts]
    # Three chunks of the first prompt, the last of which draws.
    assert events[:6] == [
        ("start", 0, 1), ("finish", 0, 1), ("start", 1, 1), ("finish", 1, 1), ("start", 2, 1), ("start", 3, 1),
    ]  # fmt: skip


def test_steps_wait_for_samplers_that_read_tokens(answers, monkeypatch):
    monkeypatch.setattr(Penalties, "reads_host_tokens", True)
    params = GREEDY.model_copy(update={"repetition_penalty": 1.5})
    (tokens,), events = run([[5, 6]], params)
    assert tokens == answers([5, 6], params)[0]
    assert [event[0] for event in events] == ["start", "finish"] * 12


def test_steps_do_not_wait_for_who_finds_no_memory(answers):
    prompts = [[5, 6], [*range(1, 18)]]
    tokens, events = run(prompts, GREEDY, blocks=4, block_size=8)
    assert tokens == [answers(prompt, GREEDY)[0] for prompt in prompts]
    assert [event[:2] for event in events[:4]] == [("start", 0), ("start", 1), ("finish", 0), ("start", 2)]


def test_pipeline_stages_have_enough_under_way():
    with pytest.raises(
        SpecError, match=r"engine.options.async_scheduling: over pipeline stages .* \(accepted: null, false"
    ):
        dynamic(async_scheduling=True, pipeline_parallel=2)
