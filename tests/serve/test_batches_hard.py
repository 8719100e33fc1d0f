"""Batches through kills at any moment, full disks, and clients beside them."""

import json
import random
import re
import resource
import time
import urllib.request

import openai
import pytest
from support.batch_lines import TEMPLATE, expected, tokens
from support.batch_server import await_results, await_status, begin, completions, direct, post, records, serving

from plugtron import LLM
from plugtron.testing.models import write_model

pytestmark = pytest.mark.wide


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("hard") / "tiny")


def check_whole(model, found, numbers, **body):
    assert [record["custom_id"] for record in found] == [f"r{number}" for number in numbers]
    with LLM(model, dtype="float32", engine="dynamic") as llm:
        assert {record["custom_id"]: tokens(record) for record in found} == expected(llm, numbers, **body)


@pytest.mark.parametrize("seed", range(3))
def test_kills_at_any_moment(model, tmp_path, seed):
    """Two batches and an upload, and a server that is killed again and again, the last times while it finishes."""
    chance, numbers = random.Random(seed), range(1, 241, 2)
    batches, uploads, kills, ended = [], {}, 0, []
    while len(ended) < 2:
        with serving(model, tmp_path, max_concurrent=8) as (client, server):
            if not batches:
                batches = [begin(client, completions(numbers, max_tokens=60)) for _ in range(2)]
            for file_id, content in uploads.items():
                assert client.files.content(file_id).content == content
            content = chance.randbytes(300_000)
            uploads[client.files.create(file=("a", content), purpose="batch").id] = content
            stages = (("finalizing", "completed"),) if kills > 3 else (("in_progress", "finalizing", "completed"),)
            for batch in batches:
                await_status(client, batch, stages[0])
            if kills < 6:
                time.sleep(chance.random() * 0.5)
                kills += 1
            else:
                ended = [await_status(client, batch) for batch in batches]
                outputs = [records(client, each.output_file_id) for each in ended]
                files = {file.id for file in client.files.list()}
                assert files == {
                    *uploads,
                    *(batch.input_file_id for batch in batches),
                    *(each.output_file_id for each in ended),
                }
            server.process.kill()
            server.process.wait()
    assert {path.name for path in (tmp_path / "files").iterdir()} == files
    for each, found in zip(ended, outputs, strict=True):
        assert each.request_counts.completed == len(numbers)
        check_whole(model, found, numbers, max_tokens=60)


def test_a_full_disk_loses_nothing_that_was_acknowledged(model, tmp_path):
    numbers = range(1, 201, 2)
    with serving(model, tmp_path, max_concurrent=4) as (client, server):
        kept = client.files.create(file=("kept", b"x" * 10_000), purpose="batch")
        batch = begin(client, completions(numbers, max_tokens=60))
        await_results(client, batch, 5)
        # As a disk that is full: no file may grow beyond what the log of the database has now.
        limit = (tmp_path / "batches.sqlite-wal").stat().st_size + 20_000
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        with pytest.raises(openai.InternalServerError, match="it cannot be stored: File too large") as refused:
            client.files.create(file=("large", b"x" * (limit + 1)), purpose="batch")
        assert refused.value.status_code == 507
        while "batches wait for the disk" not in server.log:
            time.sleep(0.05)
        waiting = client.batches.retrieve(batch.id)
        assert waiting.request_counts.completed < len(numbers)
        assert direct(client, 1)  # clients are answered
        assert client.files.content(kept.id).content == b"x" * 10_000
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
        ended = await_status(client, batch)
        assert (ended.status, ended.request_counts.failed) == ("completed", 0)
        found = records(client, ended.output_file_id)
        assert {file.filename for file in client.files.list()} >= {"kept"}
        assert "large" not in {file.filename for file in client.files.list()}
    check_whole(model, found, numbers, max_tokens=60)


def test_clients_go_before_batches(model, tmp_path):
    numbers = range(1, 201, 2)
    options = ("--set", "engine.options.max_batch_size=1")
    with serving(model, tmp_path, *options, max_concurrent=8) as (client, _):
        batch = begin(client, completions(numbers, max_tokens=100, priority=5))
        await_results(client, batch, 5)
        for _ in range(5):
            before = client.batches.retrieve(batch.id).request_counts.completed
            direct(client, 1, max_tokens=100)
            # The one that runs may end, and the next begin while this is asked.
            assert client.batches.retrieve(batch.id).request_counts.completed - before <= 4
        assert await_status(client, batch).request_counts.completed == len(numbers)


def test_batches_leave_places_free(model, tmp_path):
    with serving(model, tmp_path, "--set", "engine.options.max_batch_size=32") as (client, server):
        batches = [begin(client, completions(range(1, 161, 2), max_tokens=100)) for _ in range(2)]
        most = 0
        while any(client.batches.retrieve(batch.id).status != "completed" for batch in batches):
            with urllib.request.urlopen(f"{server.url}/metrics") as answer:
                text = answer.read().decode()
            found = re.search(r"^plugtron_requests_running\{.*\} (\S+)$", text, re.MULTILINE)
            most = max(most, float(found[1]))
        assert 2 <= most <= 4  # a look does not always meet the most
        # They have taken turns.
        first, second = (client.batches.retrieve(batch.id) for batch in batches)
        assert second.in_progress_at <= first.completed_at


def test_every_endpoint(model, tmp_path):
    """What a batch gets is what a client gets, whatever it asks."""
    greedy = {"temperature": 0, "chat_template": TEMPLATE}
    asked = {
        "/v1/completions": {"prompt": "Hello", "max_tokens": 5, "temperature": 0, "logprobs": 2},
        "/v1/chat/completions": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 5, **greedy},
        "/v1/responses": {"input": "Hello", "max_output_tokens": 16, **greedy},
        "/v1/embeddings": {"input": ["Hello", "there"]},
    }
    with serving(model, tmp_path) as (client, server):
        for url, body in asked.items():
            content = json.dumps({"custom_id": "a", "method": "POST", "url": url, "body": body}).encode()
            ended = await_status(client, begin(client, content, endpoint=url))
            (record,) = records(client, ended.output_file_id)
            _, answer = post(f"{server.url}{url}", {"Content-Type": "application/json"}, json.dumps(body).encode())
            assert _lasting(record["response"]["body"]) == _lasting(answer)


def _lasting(answer):
    """An answer without what is new each time; the second finds its prompt in memory."""
    if isinstance(answer, list):
        return [_lasting(each) for each in answer]
    if not isinstance(answer, dict):
        return answer
    passing = ("id", "created", "created_at", "completed_at", "cached_tokens")
    return {name: _lasting(value) for name, value in answer.items() if name not in passing}


def test_one_server_for_a_folder(model, tmp_path):
    with serving(model, tmp_path) as (_, first):
        with serving(model, tmp_path) as (_, second):
            assert second.process.wait(60) == 2
            assert f"batches: folder: another server uses {tmp_path}" in second.log
        assert first.stop() == 0


def test_a_server_that_is_stopped_stops_at_once(model, tmp_path):
    numbers = range(1, 401, 2)
    with serving(model, tmp_path) as (client, server):
        batch = begin(client, completions(numbers, max_tokens=100))
        await_results(client, batch, 5)
        begun = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - begun < 20
    with serving(model, tmp_path) as (client, _):
        ended = await_status(client, batch)
        assert ended.request_counts.completed == len(numbers)
        found = records(client, ended.output_file_id)
    check_whole(model, found, numbers, max_tokens=100)
