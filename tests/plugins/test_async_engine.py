"""The driver: an engine in a thread, and readers of all kinds."""

import asyncio
import time
from pathlib import Path

import pytest

from plugtron import LLM, SamplingParams
from plugtron.contracts.sampler import Sampler
from plugtron.engine.async_engine import AsyncEngine
from plugtron.errors import EngineError, RequestError
from plugtron.request.request import FinishReason, InferenceRequest
from plugtron.tokenizer.ids import NullTokenizer
from plugtron_controllers.text_generation import SimpleTextGenerationController
from plugtron_engines.dynamic import DynamicEngine
from plugtron_engines.options import DynamicOptions

CHECKPOINT = Path(__file__).parents[1] / "data" / "megatron" / "gpt_learned"
PROMPTS = [[5, 6, 7], [100, 9], [3] * 30, [250, 251, 252, 253]]
DRAWN = SamplingParams(temperature=1.0, seed=3, max_tokens=24, ignore_eos=True)


@pytest.fixture(scope="module", params=["static", "dynamic"])
def llm(request):
    with LLM(CHECKPOINT, dtype="float32", engine=request.param) as llm:
        yield llm


@pytest.fixture
def expected(llm):
    return [request.tokens for request in llm.generate(PROMPTS, DRAWN)]


def request(prompt, **fields):
    return InferenceRequest(prompt=prompt, params=DRAWN, **fields)


async def tokens_of(driver, prompt):
    """The tokens of a stream, increment by increment."""
    asked = request(prompt)
    found = [token async for output in driver.stream(asked) for token in output.tokens]
    assert found == asked.tokens
    return found


def test_streams_side_by_side(llm, expected):
    async def main(driver):
        return await asyncio.gather(*(tokens_of(driver, prompt) for prompt in PROMPTS))

    with AsyncEngine(llm.session) as driver:
        assert asyncio.run(main(driver)) == expected
        assert asyncio.run(main(driver)) == expected  # and from another loop


def test_increments_have_text_tokens_and_log_probs(default_model):
    params = SamplingParams(temperature=0, max_tokens=6, logprobs=1)

    async def main(driver, asked):
        return [output async for output in driver.stream(asked)]

    with LLM(default_model, engine="dynamic") as llm, AsyncEngine(llm.session) as driver:
        asked = InferenceRequest(prompt="The capital of France is", params=params)
        outputs = asyncio.run(main(driver, asked))
    assert "".join(output.text for output in outputs) == asked.text
    assert [entry for output in outputs for entry in output.log_probs] == asked.log_probs
    assert len(asked.log_probs) == 6
    assert [output.finish_reason for output in outputs][-1] is FinishReason.LENGTH


def test_a_reader_that_stops_reading_costs_nobody_anything(llm, expected):
    async def main(driver):
        lazy = driver.stream(request(PROMPTS[0]))
        first = await anext(lazy)
        others = await asyncio.gather(*(tokens_of(driver, prompt) for prompt in PROMPTS[1:]))
        # It has gone on without being read; what was not taken has become one output.
        await asyncio.sleep(0)
        rest = [output async for output in lazy]
        return [*first.tokens, *(token for output in rest for token in output.tokens)], others, len(rest)

    with AsyncEngine(llm.session) as driver:
        late, others, outputs = asyncio.run(main(driver))
    assert [late, *others] == expected
    assert outputs < 24


def test_a_storm_of_aborts(llm, expected):
    async def leave_early(driver):
        async for _ in driver.stream(request([9, 9], priority=1)):
            break

    async def main(driver):
        storm = [leave_early(driver) for _ in range(50)]
        results = await asyncio.gather(*(tokens_of(driver, prompt) for prompt in PROMPTS), *storm)
        return results[: len(PROMPTS)]

    with AsyncEngine(llm.session) as driver:
        assert asyncio.run(main(driver)) == expected
    while llm.session.has_unfinished_requests:
        llm.session.step()
    assert llm.session.engine.stats.blocks_used == 0
    assert llm.session.engine.stats.running == 0


class Raising(Sampler):
    """Raises for the requests of one prompt, at their third token."""

    @classmethod
    def assemble(cls, parts, options):
        raise NotImplementedError

    def uses(self, params):
        return True

    def add(self, slot, sequence):
        self.unlucky = getattr(self, "unlucky", {}) | {slot: sequence}

    def remove(self, slot):
        del self.unlucky[slot]

    def apply(self, candidates):
        for slot in candidates.slot_ids:
            sequence = self.unlucky[slot]
            if sequence.request.prompt == [13] and len(sequence.tokens) == 2:
                raise ArithmeticError("out of luck")
        return candidates


def test_a_sampler_that_raises_fails_its_request_alone(llm, expected):
    parts = llm.session.parts
    controller = SimpleTextGenerationController(parts.wrapper, parts.tokenizer, (*parts.samplers, Raising()))
    engine = DynamicEngine(controller, DynamicOptions(blocks=100))

    async def main(driver):
        unlucky = request([13])
        results = await asyncio.gather(driver.generate(unlucky), *(tokens_of(driver, prompt) for prompt in PROMPTS))
        return unlucky, results[1:]

    with AsyncEngine(engine) as driver:
        unlucky, others = asyncio.run(main(driver))
    assert unlucky.error == f"sampler {__name__}.Raising failed: ArithmeticError: out of luck"
    assert len(unlucky.tokens) == 2
    assert others == expected
    assert engine.stats.blocks_used == 0


def test_a_step_that_raises_fails_who_was_in_it_and_no_more(llm, expected):
    controller = llm.session.engine.controller
    start, failing = controller.start_step, [MemoryError("no room")]

    def start_step(plan):
        if failing:
            raise failing.pop()
        return start(plan)

    async def main(driver):
        asked = [request(prompt) for prompt in PROMPTS]
        await asyncio.gather(*(driver.generate(each) for each in asked))
        return asked, await asyncio.gather(*(tokens_of(driver, prompt) for prompt in PROMPTS))

    controller.start_step = start_step
    try:
        with AsyncEngine(llm.session) as driver:
            asked, again = asyncio.run(main(driver))
    finally:
        controller.start_step = start
    # Those that were added before the step failed; the others did not notice.
    errors = [each.error for each in asked if each.error is not None]
    assert errors
    assert set(errors) == {"a step failed: MemoryError: no room"}
    assert again == expected


def test_an_engine_that_only_raises_ends_the_driver(llm):
    class Broken:
        has_unfinished_requests = True

        def notify(self, callback):
            pass

        def prepare_request(self, request):
            pass

        def add_request(self, request):
            request.id = 0
            return 0

        def abort_request(self, request_id):
            return False

        def step(self):
            raise ZeroDivisionError("broken")

    async def main(driver):
        with pytest.raises(ZeroDivisionError, match="broken"):
            await driver.generate(request([1]))
        with pytest.raises(EngineError, match="this AsyncEngine is closed, or its engine is broken"):
            await driver.generate(request([1]))

    broken = Broken()
    broken.has_unfinished_requests = False
    driver = AsyncEngine(broken)
    broken.has_unfinished_requests = True
    asyncio.run(main(driver))
    driver.close()


def test_closing_tells_those_who_wait(llm, monkeypatch):
    step = llm.session.engine.step
    # Slow steps, so that the request is still running when the driver is closed.
    monkeypatch.setattr(llm.session.engine, "step", lambda: (time.sleep(0.5), step())[1])

    async def main(driver):
        stream = driver.stream(request([1, 2]))
        await anext(stream)
        driver.close()
        with pytest.raises(EngineError, match="the AsyncEngine was closed"):
            async for _ in stream:
                pass

    asyncio.run(main(AsyncEngine(llm.session)))
    monkeypatch.undo()
    assert len(llm.generate([1, 2], DRAWN).tokens) == 24


def test_wrong_requests_raise_or_fail_where_they_are_asked_for(llm):
    async def main(driver):
        refused = await driver.generate(InferenceRequest(prompt=[1] * 500, params=DRAWN))
        used = request([1])
        await driver.generate(used)
        with pytest.raises(RequestError, match="added before"):
            await driver.generate(used)
        return refused

    with AsyncEngine(llm.session) as driver:
        assert "the prompt has 500 tokens" in asyncio.run(main(driver)).error


class Stumbling(NullTokenizer):
    """Cannot say one of the tokens."""

    def token_bytes(self, token):
        if token == self.unsayable:
            raise UnicodeError("no words for it")
        return super().token_bytes(token)


def test_a_detokenizer_that_raises_fails_its_request_alone(llm, expected):
    tokenizer = Stumbling(320)
    # The first token that one answer has and no other one.
    only = [set(tokens).difference(*(other for other in expected if other is not tokens)) for tokens in expected]
    tokenizer.unsayable = next(token for token in expected[2] if token in only[2])
    parts = llm.session.parts
    engine = DynamicEngine(
        SimpleTextGenerationController(parts.wrapper, tokenizer, parts.samplers), DynamicOptions(block_size=4)
    )
    requests = engine.generate(PROMPTS, DRAWN)
    assert [request.error for request in requests] == [None, None, "UnicodeError: no words for it", None]
    for number in (0, 1, 3):
        assert requests[number].tokens == expected[number]
    assert requests[2].tokens[-1] == tokenizer.unsayable
    assert engine.stats.blocks_used == 0


def test_readers_hear_of_whatever_ends_the_thread(llm):
    controller = llm.session.engine.controller
    start = controller.start_step

    def leave(plan):
        raise SystemExit(3)

    async def main(driver):
        with pytest.raises(EngineError, match="the engine's thread has ended: SystemExit: 3"):
            await driver.generate(request([1]))
        with pytest.raises(EngineError, match="this AsyncEngine is closed"):
            await driver.generate(request([1]))

    controller.start_step = leave
    try:
        with AsyncEngine(llm.session) as driver:
            asyncio.run(asyncio.wait_for(main(driver), 30))
    finally:
        controller.start_step = start
