"""Steps stopped and resumed from other threads; endpoints for it."""

import asyncio
import json
import threading
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from support.serving import served

from plugtron import LLM, SamplingParams
from plugtron.engine import AsyncEngine
from plugtron.errors import EngineError, ParallelError, RequestError
from plugtron.request import InferenceRequest

PROMPT = list(range(3, 40))
LONG = SamplingParams(temperature=0, max_tokens=200)


@pytest.fixture
def llm(checkpoints):
    with LLM(checkpoints[0], engine="dynamic", dtype="float32", seed=1) as made:
        yield made


def test_a_stream_stands_still(llm):
    expected = llm.generate(PROMPT, LONG).tokens
    stream = llm.stream(PROMPT, LONG)
    taken = list(next(stream).tokens)
    llm.control.pause()
    done = threading.Event()

    def read():
        taken.extend(token for output in stream for token in output.tokens)
        done.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert not done.wait(0.2)
    steps = llm.session.engine.stats.steps
    assert not done.wait(0.2)
    assert llm.session.engine.stats.steps == steps
    with pytest.raises(RequestError, match="paused or asleep"):
        llm.generate(PROMPT, LONG)
    llm.control.resume()
    thread.join()
    assert taken == expected


def test_asleep_it_stays_paused(llm):
    llm.control.pause()
    llm.control.sleep()
    llm.control.wake()
    assert llm.control.is_paused
    llm.control.sleep()
    llm.control.resume()
    assert llm.control.is_paused
    llm.control.wake()
    assert not llm.control.is_paused
    assert len(llm.generate(PROMPT, LONG).tokens) == 200


def test_an_async_engine_wakes_up(llm):
    expected = llm.generate(PROMPT, LONG).tokens

    async def run(engine):
        llm.control.pause()
        running = asyncio.ensure_future(engine.generate(InferenceRequest(prompt=PROMPT, params=LONG)))
        done, _ = await asyncio.wait([running], timeout=0.3)
        assert not done
        await asyncio.to_thread(llm.control.resume)
        return await running

    with AsyncEngine(llm.session) as engine:
        assert asyncio.run(run(engine)).tokens == expected


def test_closing_while_paused(llm):
    stream = llm.stream(PROMPT, LONG)
    next(stream)
    raised = []

    def read():
        try:
            list(stream)
        except ParallelError as error:
            raised.append(str(error))

    thread = threading.Thread(target=read)
    llm.control.pause()
    thread.start()
    llm.close()
    thread.join()
    assert "this model is closed" in raised[0]
    with pytest.raises(ParallelError, match="this model is closed"):
        llm.control.resume()


def test_an_async_engine_is_closed_while_paused(llm):
    async def run(engine):
        llm.control.pause()
        running = asyncio.ensure_future(engine.generate(InferenceRequest(prompt=PROMPT, params=LONG)))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(engine.close)
        with pytest.raises(EngineError, match="closed"):
            await running

    asyncio.run(run(AsyncEngine(llm.session)))


def asked(url, path, body=None):
    """The status and the data of a response."""
    data = None if body is None else json.dumps(body).encode()
    try:
        with urlopen(Request(url + path, data), timeout=600) as answer:
            return answer.status, json.loads(answer.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


def test_endpoints(checkpoints, tmp_path):
    first, second = checkpoints
    spec = tmp_path / "run.yaml"
    spec.write_text(
        f"version: 1\nmodel: {{checkpoint: {first}, dtype: float32}}\nengine: dynamic\n"
        "serve: {routes: [default, control]}\n"
    )
    body = {"prompt": PROMPT, "max_tokens": 8, "temperature": 0, "return_token_ids": True}
    expected = {}
    for folder in checkpoints:
        with LLM(folder, engine="dynamic", dtype="float32") as llm:
            expected[folder] = llm.generate(PROMPT, SamplingParams(temperature=0, max_tokens=8)).tokens
    with served(spec) as server:

        def completed():
            status, answer = asked(server.url, "/v1/completions", body)
            assert status == 200
            return answer["choices"][0]

        assert asked(server.url, "/control") == (200, {"paused": False, "asleep": False, "weights_version": 0})
        choice = completed()
        assert choice["token_ids"] == expected[first]
        assert choice["weights_versions"] == [0] * 8
        assert asked(server.url, "/sleep", {"weights": True})[1] == {
            "paused": True, "asleep": True, "weights_version": 0
        }  # fmt: skip
        waiting = []
        client = threading.Thread(target=lambda: waiting.append(completed()))
        client.start()
        assert asked(server.url, "/ready")[0] == 200  # what comes waits
        assert asked(server.url, "/update_weights", {"path": str(second)})[1]["weights_version"] == 1
        assert asked(server.url, "/wake", {})[1] == {"paused": False, "asleep": False, "weights_version": 1}
        client.join()
        assert waiting[0]["token_ids"] == expected[second]
        assert waiting[0]["weights_versions"] == [1] * 8
        status, answer = asked(server.url, "/update_weights", {"path": str(tmp_path)})
        assert status == 400
        assert str(tmp_path) in answer["error"]["message"]
        assert asked(server.url, "/sleep", {"weight": True})[0] == 400
        assert completed()["token_ids"] == expected[second]
        assert asked(server.url, "/pause", {})[1]["paused"]
        assert not asked(server.url, "/resume", {})[1]["paused"]
        assert server.stop() == 0
