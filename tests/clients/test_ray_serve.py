"""`plugtron serve --ray` on a Ray cluster of two nodes: one server, the tokens of one engine, whatever is lost."""

import json
import re
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import openai
import pytest
import yaml
from support import batch_lines
from support.ray_cluster import nodes, served_on

from plugtron import LLM, SamplingParams
from plugtron.testing.models import write_model

pytestmark = pytest.mark.clients

#: Long enough to be met in the middle.
LONG = 1200
#: Several blocks of the prefix cache.
PREFIX = "Once upon a time there was a king who had three daughters, and each of them had three wishes. " * 2
PATIENCE_S = 60


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Two of the same kind, with other weights; answers may be long."""
    folder = tmp_path_factory.mktemp("served")
    made = write_model(folder / "tiny"), write_model(folder / "other", seed=1)
    for each in made:
        config = json.loads((each / "config.json").read_text())
        (each / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    return made


@pytest.fixture(scope="module")
def cluster(ray_environment):
    with nodes(ray_environment, 2) as running:
        yield running


@pytest.fixture(scope="module")
def free_cluster(ray_environment):
    """One whose CPUs no server has."""
    with nodes(ray_environment, 2) as running:
        yield running


@pytest.fixture(scope="module")
def spec(models, tmp_path_factory):
    """Two sequences at a time in each replica, so that others wait."""
    file = tmp_path_factory.mktemp("spec") / "spec.yaml"
    values = {
        "version": 1,
        "model": {"checkpoint": str(models[0]), "dtype": "float32"},
        "engine": {"name": "dynamic", "options": {"max_batch_size": 2}},
        "serve": {"models": ["tiny"], "routes": ["default", "control"]},
    }
    file.write_text(yaml.safe_dump(values))
    return file


@pytest.fixture(scope="module")
def server(cluster, ray_environment, spec):
    with served_on(cluster, ray_environment, spec, "--replicas", 2) as running:
        yield running


@pytest.fixture(scope="module")
def llm(models):
    with LLM(models[0], dtype="float32", engine="dynamic") as model:
        yield model


def post(server, path, body):
    request = Request(server.url + path, json.dumps(body).encode())
    try:
        with urlopen(request, timeout=300) as response:
            return response.status, json.loads(response.read())
    except HTTPError as error:
        return error.code, json.loads(error.read())


def status(server, path):
    try:
        with urlopen(server.url + path, timeout=60) as response:
            return response.status
    except HTTPError as error:
        return error.code


def metric(server, name):
    with urlopen(server.url + "/metrics", timeout=60) as response:
        found = re.search(rf"^{name}{{.*}} (\S+)$", response.read().decode(), re.MULTILINE)
    return float(found[1])


def await_that(condition):
    until = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


def completion(prompt, **more):
    return {"model": "tiny", "prompt": prompt, "ignore_eos": True, "return_token_ids": True, "temperature": 0, **more}


def tokens(answered):
    code, body = answered
    assert code == HTTPStatus.OK, body
    return body["choices"][0]["token_ids"]


def at_once(server, bodies):
    with ThreadPoolExecutor(len(bodies)) as pool:
        return list(pool.map(lambda body: post(server, "/v1/completions", body), bodies))


class Stream:
    """A completion that is streamed, read in a thread."""

    def __init__(self, server, prompt, **more):
        self.client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0, timeout=300)
        extra = {"ignore_eos": True, "return_token_ids": True}
        asked = {"max_tokens": LONG, "temperature": 0, "stream": True, **more}
        self.prompt, self.tokens, self.error, self.reason = prompt, [], None, None
        self.begun = threading.Event()
        self.coming = self.client.completions.create(model="tiny", prompt=prompt, extra_body=extra, **asked)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            for chunk in self.coming:
                self.tokens += chunk.choices[0].token_ids
                self.reason = chunk.choices[0].finish_reason or self.reason
                self.begun.set()
        except openai.APIError as error:
            self.error = str(error)
        self.begun.set()

    def end(self):
        self.thread.join(PATIENCE_S)
        assert not self.thread.is_alive()
        return self


def test_tokens_are_those_of_one_engine(server, llm):
    """Greedy and seeded, completions and chats, many at once over both replicas."""
    numbers = range(1, 41)
    asked = {f"r{number}": batch_lines.request(number, model="tiny") for number in numbers}
    with ThreadPoolExecutor(16) as pool:
        found = dict(zip(asked, pool.map(lambda each: tokens(post(server, *each)), asked.values()), strict=True))
    assert found == batch_lines.expected(llm, numbers)


def test_streams_of_the_openai_client(server, llm):
    expected = llm.generate(["Hello"], SamplingParams(max_tokens=64, temperature=1, seed=5, n=2, ignore_eos=True))[0]
    client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    extra = {"ignore_eos": True, "return_token_ids": True}
    sampled = {"max_tokens": 64, "temperature": 1, "seed": 5, "n": 2}
    texts, ids = ["", ""], [[], []]
    for chunk in client.completions.create(model="tiny", prompt="Hello", stream=True, extra_body=extra, **sampled):
        for choice in chunk.choices:
            texts[choice.index] += choice.text
            ids[choice.index] += choice.token_ids
    assert ids == [sequence.tokens for sequence in expected.sequences]
    assert texts == [sequence.text for sequence in expected.sequences]

    messages = [{"role": "user", "content": "Say something."}]
    chat = llm.chat(
        messages, SamplingParams(max_tokens=32, temperature=0, logprobs=2), chat_template=batch_lines.TEMPLATE
    )
    extra = {"chat_template": batch_lines.TEMPLATE}
    logged = {"logprobs": True, "top_logprobs": 2, "max_tokens": 32, "temperature": 0}
    chunks = list(
        client.chat.completions.create(model="tiny", messages=messages, stream=True, extra_body=extra, **logged)
    )
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == chat.text
    entries = [entry for chunk in chunks if chunk.choices[0].logprobs for entry in chunk.choices[0].logprobs.content]
    assert [entry.logprob for entry in entries] == pytest.approx([each.value for each in chat.log_probs])


def test_what_requests_may_ask_for_besides(server, llm):
    """The log probabilities of a prompt, an embedding, a stop text; and what is refused, before anything is sent."""
    (expected,) = llm.generate(["Hello"], SamplingParams(max_tokens=4, temperature=0, prompt_logprobs=1, logprobs=1))
    body = completion("Hello", max_tokens=4, prompt_logprobs=1, echo=True)
    found = post(server, "/v1/completions", body)[1]["choices"][0]
    values = [entry and entry["logprob"] for entry in found["prompt_logprobs"]]
    assert values[0] is None
    assert values[1:] == pytest.approx([each.value for each in expected.prompt_log_probs[1:]])
    assert found["text"].startswith("Hello")

    code, found = post(server, "/v1/embeddings", {"model": "tiny", "input": ["Hello", "there"]})
    assert (code, len(found["data"])) == (HTTPStatus.OK, 2)

    long = llm.generate(["Hello"], SamplingParams(max_tokens=32, temperature=0, ignore_eos=True))[0]
    stop = long.text[4:6]
    stopped = post(server, "/v1/completions", completion("Hello", max_tokens=32, stop=stop))[1]["choices"][0]
    assert (stopped["text"], stopped["finish_reason"], stopped["stop_reason"]) == (
        long.text[: long.text.index(stop)],
        "stop",
        stop,
    )

    for prompt, refused in (("Hello", {"min_p": 7}), ("x" * 10**5, {"stream": True}), ("Hello", {"grammarr": "x"})):
        code, body = post(server, "/v1/completions", completion(prompt, **refused))
        assert code == HTTPStatus.BAD_REQUEST, body


def test_replicas_run_beside_each_other(server, llm):
    """Four sequences at once, though a replica takes two; /plugtron and /metrics add up the two."""
    streams = [Stream(server, f"Beside {number}") for number in range(8)]
    await_that(lambda: metric(server, "plugtron_requests_running") == 4)
    assert metric(server, "plugtron_replicas") == 2
    for stream in streams:
        assert stream.end().error is None
        assert stream.tokens == greedy(llm, stream.prompt, LONG)


def greedy(llm, prompt, count):
    return llm.generate([prompt], SamplingParams(max_tokens=count, temperature=0, ignore_eos=True))[0].tokens


def cached(server, prompt, **more):
    body = post(server, "/v1/completions", completion(prompt, max_tokens=2, **more))[1]
    return body["usage"]["prompt_tokens_details"]["cached_tokens"]


def test_a_prefix_stays_with_one_replica(server):
    first, *later = (cached(server, f"{PREFIX}{number}") for number in range(8))
    assert first == 0
    assert min(later) > len(PREFIX) // 2  # a token is a character at the most
    assert cached(server, f"{PREFIX}0", cache_salt="other") == 0


def test_a_client_that_leaves_frees_its_memory(server):
    streams = [Stream(server, f"Leaving {number}") for number in range(4)]
    for stream in streams:
        stream.begun.wait(PATIENCE_S)
        stream.coming.close()
    await_that(lambda: metric(server, "plugtron_requests_running") == 0)
    await_that(lambda: metric(server, "plugtron_kv_blocks_used") == 0)
    assert metric(server, "plugtron_requests_waiting") == 0


def test_a_replica_that_is_killed(server, cluster, llm):
    """What it had begun fails with one clear error, what waited there is answered by the other, and it comes back."""
    streams = [Stream(server, f"Killed {number}") for number in range(8)]
    await_that(lambda: sum(bool(stream.tokens) for stream in streams) >= 4)
    assert cluster.kill_replicas(1) == 1
    for stream in streams:
        stream.end()
    failed = [stream for stream in streams if stream.error]
    assert 1 <= len(failed) <= 2
    assert all("was lost while it answered" in stream.error for stream in failed)
    for stream in streams:
        if stream not in failed:
            assert stream.tokens == greedy(llm, stream.prompt, LONG)
    await_that(lambda: metric(server, "plugtron_replicas") == 2)
    assert status(server, "/ready") == HTTPStatus.OK


def test_all_replicas_are_killed(server, cluster, llm):
    """The server lives, says that it is not ready, and answers what has come meanwhile when they are back."""
    assert cluster.kill_replicas() == 2
    await_that(lambda: status(server, "/ready") == HTTPStatus.SERVICE_UNAVAILABLE)
    assert status(server, "/health") == HTTPStatus.OK
    answered = at_once(server, [completion(f"Meanwhile {number}", max_tokens=8) for number in range(4)])
    for number, each in enumerate(answered):
        assert tokens(each) == greedy(llm, f"Meanwhile {number}", 8)
    await_that(lambda: metric(server, "plugtron_replicas") == 2)


def test_control_of_all_replicas(server, cluster, models, llm, tmp_path):
    """Steps stop everywhere; weights are changed everywhere or nowhere, and a replica that comes back has them."""
    streams = [Stream(server, f"Paused {number}") for number in range(4)]
    for stream in streams:
        stream.begun.wait(PATIENCE_S)
    assert post(server, "/pause", {})[1]["paused"]
    steps = metric(server, "plugtron_steps_total")
    assert [stream.thread.is_alive() for stream in streams] == [True] * 4

    code, body = post(server, "/update_weights", {"path": str(tmp_path / "nothing")})
    assert code == HTTPStatus.BAD_REQUEST, body
    assert metric(server, "plugtron_steps_total") <= steps + 2  # those that were going on when it was asked
    post(server, "/resume", {})
    for stream in streams:
        assert stream.end().tokens == greedy(llm, stream.prompt, LONG)

    assert post(server, "/sleep", {"weights": True})[1]["asleep"]
    assert not post(server, "/wake", {})[1]["asleep"]
    assert post(server, "/update_weights", {"path": str(models[1])})[1]["weights_version"] == 1
    with LLM(models[1], dtype="float32", engine="dynamic") as other:
        expected = greedy(other, "New", 16)
    answered = at_once(server, [completion("New", max_tokens=16, cache_salt=str(number)) for number in range(8)])
    assert [tokens(each) for each in answered] == [expected] * 8
    assert answered[0][1]["choices"][0]["weights_versions"] == [1] * 16
    assert cluster.kill_replicas() == 2
    await_that(lambda: metric(server, "plugtron_replicas") == 0)
    answered = at_once(server, [completion("New", max_tokens=16, cache_salt=str(number)) for number in range(8)])
    assert [tokens(each) for each in answered] == [expected] * 8
    assert post(server, "/update_weights", {"path": str(models[0])})[1]["weights_version"] == 2


def test_a_signal_ends_it_all(free_cluster, ray_environment, models, spec):
    """A request that is open finishes first. Requests without a seed have those of one engine, and take turns."""
    routed = ("--replicas", 2, "--routing", "least_loaded", "--set", "seed=7")
    with served_on(free_cluster, ray_environment, spec, *routed) as running:
        body = completion(PREFIX, temperature=1, max_tokens=8)
        drawn = [tokens(post(running, "/v1/completions", body)) for _ in range(2)]
        assert cached(running, PREFIX) > 0
        stream = Stream(running, "Stopped")
        stream.begun.wait(PATIENCE_S)
        assert running.stop(signal.SIGTERM) == 0
        assert (stream.end().error, stream.reason, len(stream.tokens)) == (None, "length", LONG)
        assert "Traceback" not in running.log
    assert free_cluster.kill_replicas() == 0
    with LLM(models[0], dtype="float32", engine="dynamic", seed=7) as llm:
        params = SamplingParams(temperature=1, max_tokens=8, ignore_eos=True)
        assert drawn == [llm.generate([PREFIX], params)[0].tokens for _ in range(2)]


def test_a_signal_while_replicas_cannot_be_started(free_cluster, ray_environment, spec):
    """There are two CPUs, and the third replica waits for one: the server is told to stop meanwhile."""
    with served_on(free_cluster, ray_environment, spec, "--replicas", 3, wait=False) as running:
        await_that(lambda: free_cluster.count_replicas() >= 2)
        assert running.stop(signal.SIGTERM) == 0
    await_that(lambda: free_cluster.count_replicas() == 0)


def test_what_cannot_be(free_cluster, ray_environment, spec):
    said = {
        ("--set", "parallel.data=2"): "parallel.data: with --ray, --replicas says how many copies there are",
        ("--set", "engine.options.max_sequence_length=100000"): "max_sequence_length: 100000 is more than the",
    }
    for arguments, expected in said.items():
        with served_on(free_cluster, ray_environment, spec, *arguments, wait=False) as running:
            assert running.process.wait(300) == 2
        assert expected in running.log.splitlines()[-1]
