"""/v1/files and /v1/batches through OpenAI's own client, and through what servers run into."""

import openai
import pytest
from support.batch_lines import expected, line, tokens
from support.batch_server import (
    COMPLETIONS,
    await_results,
    await_status,
    begin,
    completions,
    direct,
    post,
    records,
    serving,
)

from plugtron import LLM
from plugtron.testing.models import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("batches") / "tiny")


@pytest.fixture(scope="module")
def server(model, tmp_path_factory):
    with serving(model, tmp_path_factory.mktemp("folder"), max_file_bytes=100_000) as running:
        yield running


@pytest.fixture
def client(server):
    return server[0]


def test_a_batch_has_the_answers_of_its_requests(client):
    numbers = range(1, 41, 2)
    bad = line(1, max_tokens=-5).replace('"r1"', '"bad"').encode()
    batch = begin(client, completions(numbers) + bad, metadata={"who": "me"})
    assert (batch.status, batch.object, batch.metadata) == ("validating", "batch", {"who": "me"})
    ended = await_status(client, batch)
    assert ended.status == "completed", ended
    counts = ended.request_counts
    assert (counts.total, counts.completed, counts.failed) == (21, 20, 1)
    assert ended.created_at <= ended.in_progress_at <= ended.finalizing_at <= ended.completed_at <= ended.expires_at
    found = records(client, ended.output_file_id)
    assert [record["custom_id"] for record in found] == [f"r{number}" for number in numbers]
    assert [tokens(record) for record in found] == [direct(client, number) for number in numbers]
    (error,) = records(client, ended.error_file_id)
    assert (error["custom_id"], error["response"]["status_code"]) == ("bad", 400)
    assert client.batches.list(limit=1).data == [ended]
    output = client.files.retrieve(ended.output_file_id)
    assert (output.purpose, output.filename) == ("batch_output", f"{batch.id}_output.jsonl")
    with pytest.raises(openai.ConflictError, match="is completed, and cannot be cancelled any more"):
        client.batches.cancel(batch.id)


def test_a_server_that_is_killed_goes_on_and_has_every_line_once(model, tmp_path):
    numbers = range(1, 161, 2)
    with serving(model, tmp_path, max_concurrent=4) as (client, server):
        batch = begin(client, completions(numbers, max_tokens=100))
        await_results(client, batch, 10)
        server.process.kill()
        server.process.wait()
    with serving(model, tmp_path) as (client, server):
        again = client.batches.retrieve(batch.id)
        assert again.status in ("in_progress", "finalizing", "completed")
        ended = await_status(client, batch)
        assert (ended.status, ended.request_counts.completed) == ("completed", len(numbers))
        found = records(client, ended.output_file_id)
        assert server.stop() == 0
    assert [record["custom_id"] for record in found] == [f"r{number}" for number in numbers]
    with LLM(model, dtype="float32", engine="dynamic") as llm:
        offline = expected(llm, numbers, max_tokens=100)
    assert {record["custom_id"]: tokens(record) for record in found} == offline


def test_files(client):
    made = [client.files.create(file=(name, b"{}\n"), purpose="batch") for name in ("a.jsonl", "ü ☃.jsonl", "../b")]
    for file, name in zip(made, ("a.jsonl", "ü ☃.jsonl", "../b"), strict=True):
        assert (file.filename, file.bytes, file.purpose, file.object) == (name, 3, "batch", "file")
        assert client.files.retrieve(file.id) == file
        assert client.files.content(file.id).content == b"{}\n"
    assert client.files.list(limit=2).data == made[:0:-1]
    assert client.files.list(after=made[2].id, limit=1).data == [made[1]]
    assert client.files.list(after=made[0].id, limit=2, order="asc").data == made[1:]
    assert client.files.list(purpose="else").data == []
    for file in made:
        assert client.files.delete(file.id).deleted
        with pytest.raises(openai.NotFoundError, match="there is no file"):
            client.files.content(file.id)
    with pytest.raises(openai.APIStatusError, match="the file is larger than 100000 bytes"):
        client.files.create(file=("large", b"x" * 100_001), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="purpose: must be 'batch'"):
        client.files.create(file=("a", b"x"), purpose="assistants")
    with pytest.raises(openai.BadRequestError, match=r"expires_after\[anchor\]: is no field"):
        client.files.create(file=("a", b"x"), purpose="batch", expires_after={"anchor": "created_at", "seconds": 3600})


def test_forms_that_are_none(server):
    url = f"{server[0].base_url}files"
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    part = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\nabc\r\n'
    for headers, body, message in (
        ({"Content-Type": "application/json"}, b"{}", "the body must be a form"),
        ({"Content-Type": "multipart/form-data"}, b"{}", "the body must be a form"),
        (form, b"no form", "the body is no form"),
        (form, part, "the form is not complete"),
        (form, part + part + b"--x--\r\n", "file: is given twice"),
        (form, b"--x\r\nContent-Type: text/plain\r\n\r\nabc\r\n--x--\r\n", "has no name"),
        (form, part + b"--x--\r\n", "purpose: must be 'batch'"),
        (form, b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"a" * 70_000, "longer than 65536"),
    ):
        status, answer = post(url, headers, body)
        assert status == 400
        assert message in answer["error"]["message"]


def test_batches_that_are_none(client):
    batch = begin(client, b'{"custom_id": 5}\nno JSON\n' + completions([1, 1]) + line(2).encode())
    failed = await_status(client, batch)
    assert failed.status == "failed"
    assert [(error.code, error.line) for error in failed.errors.data] == [
        ("invalid_request", 1),
        ("invalid_json_line", 2),
        ("duplicate_custom_id", 4),
        ("mismatched_url", 5),
    ]
    empty = await_status(client, begin(client, b"\n\n"))
    assert [error.code for error in empty.errors.data] == ["empty_file"]
    with pytest.raises(openai.NotFoundError, match="there is no file 'file-none'"):
        client.batches.create(input_file_id="file-none", endpoint=COMPLETIONS, completion_window="24h")
    for fields, message in (
        ({"completion_window": "tomorrow"}, "completion_window: must be"),
        ({"endpoint": "/v1/images"}, "endpoint: must be"),
    ):
        with pytest.raises(openai.BadRequestError, match=message):
            begin(client, completions([1]), **fields)
    with pytest.raises(openai.NotFoundError, match="there is no batch"):
        client.batches.retrieve("batch_none")


def test_a_batch_is_cancelled_or_expires_with_what_it_has(model, tmp_path):
    numbers = range(1, 401, 2)
    with serving(model, tmp_path, max_concurrent=2) as (client, _):
        batch = begin(client, completions(numbers, max_tokens=100))
        await_results(client, batch, 3)
        with pytest.raises(openai.ConflictError, match="which has not ended"):
            client.files.delete(batch.input_file_id)
        assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
        ended = await_status(client, batch)
        assert ended.status == "cancelled"
        assert 3 <= len(records(client, ended.output_file_id)) == ended.request_counts.completed < len(numbers)
        batch = begin(client, completions(numbers, max_tokens=100), completion_window="2s")
        ended = await_status(client, batch)
        assert ended.status == "expired"
        done = [record["custom_id"] for record in records(client, ended.output_file_id)]
        late = records(client, ended.error_file_id)
        assert {record["error"]["code"] for record in late} == {"batch_expired"}
        assert sorted([*done, *(record["custom_id"] for record in late)]) == sorted(f"r{each}" for each in numbers)
        assert ended.request_counts.failed == len(late)
