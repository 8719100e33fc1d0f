"""One model, several threads: each gets its own text, whoever steps the engine."""

import asyncio
import re
import threading
import time

import pytest

from plugtron import LLM, AsyncEngine, InferenceRequest, SamplingParams
from plugtron.request.chat_options import ChatOptions
from plugtron.utils.turn_lock import TurnLock

PARAMS = SamplingParams(temperature=0, max_tokens=12, ignore_eos=True)
SHORT = SamplingParams(temperature=0, max_tokens=2, ignore_eos=True)


@pytest.fixture(params=["static", "dynamic"])
def engine(request):
    return request.param


@pytest.fixture(params=["eager", "native"])
def model(request, engine, random_model):
    overrides = {"execution": request.param, "engine.options.max_batch_size": 3}
    with LLM(random_model("llama_untied")[1], engine=engine, overrides=overrides) as llm:
        yield llm


def in_threads(count, work):
    errors = []

    def guarded(number):
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors


def test_each_thread_gets_its_own_tokens(model):
    prompts = {(number, time): [number + 1, time + 9, 3] for number in range(6) for time in range(4)}
    found = {}

    def work(number):
        for turn in range(4):
            if turn % 2:
                outputs = list(model.stream(prompts[number, turn], PARAMS))
                found[number, turn] = [token for output in outputs for token in output.tokens]
            else:
                found[number, turn] = model.generate(prompts[number, turn], PARAMS).tokens

    in_threads(6, work)
    assert found == {key: model.generate(prompt, PARAMS).tokens for key, prompt in prompts.items()}
    assert not model.session._queues
    assert not model.session.has_unfinished_requests


def test_generate_beside_a_driver(model):
    expected = {number: model.generate([number + 1, 5], PARAMS).tokens for number in range(4)}
    found, driven = {}, {}

    async def drive(driver, number):
        request = await driver.generate(InferenceRequest(prompt=[number + 1, 5], params=PARAMS))
        driven[number] = request.tokens

    async def all_of_them(driver):
        await asyncio.gather(*(drive(driver, number) for number in range(4)))

    def work(number):
        if number == 0:
            with AsyncEngine(model.session) as driver:
                for _ in range(3):
                    asyncio.run(all_of_them(driver))
        else:
            for _ in range(3):
                found[number] = model.generate([number + 1, 5], PARAMS).tokens

    in_threads(4, work)
    assert driven == expected
    assert found == {number: expected[number] for number in (1, 2, 3)}


def test_closing_while_others_generate_ends_them_with_a_word(random_model, engine):
    llm = LLM(random_model("llama_untied")[1], engine=engine)
    begun, errors = threading.Event(), []

    def work():
        try:
            for _ in llm.stream([1, 2], SamplingParams(temperature=0, max_tokens=400, ignore_eos=True)):
                begun.set()
        except Exception as error:
            errors.append(str(error))
        begun.set()

    thread = threading.Thread(target=work)
    thread.start()
    begun.wait()
    llm.close()
    thread.join()
    assert errors in ([], ["this model is closed, or has lost its ranks: make a new one"])


def test_a_slow_template_keeps_nobody_waiting(llm):
    """It is rendered beside the steps, not between them."""
    slow = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}"
    ends = {}

    async def ask(driver, name, request):
        await driver.generate(request)
        ends[name] = time.monotonic()

    async def both(driver):
        chat = [{"role": "user", "content": "hi"}]
        bomb = InferenceRequest(prompt=chat, params=PARAMS, chat=ChatOptions(chat_template=slow))
        await asyncio.gather(
            ask(driver, "bomb", bomb), ask(driver, "other", InferenceRequest(prompt=[1, 2], params=SHORT))
        )
        assert re.search(r"more than (a chat template may|5 seconds)", bomb.error)  # whichever limit comes first

    with AsyncEngine(llm.session) as driver:
        asyncio.run(both(driver))
    assert ends["other"] < ends["bomb"]


def test_a_lock_is_had_in_turn():
    lock, order, waiting = TurnLock(), [], []

    def work(number):
        waiting.append(number)
        with lock, lock:  # its owner may enter it again
            order.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    with lock:
        for number, thread in enumerate(threads):
            thread.start()
            while len(lock._waiting) <= number:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert order == waiting == list(range(8))
