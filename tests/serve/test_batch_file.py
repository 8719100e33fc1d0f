"""`plugtron batch`: files of requests, through whatever interrupts them."""

import io
import json
import signal
from collections import Counter
from importlib.util import find_spec

import pytest
from support import batch_lines
from support.batch_lines import await_lines, line, read, run, start, tokens
from support.commands import plugtron

from plugtron import LLM
from plugtron.cli.batch_resume import Done
from plugtron.errors import SpecError
from plugtron.serve.batches.line import LineError, numbered_lines, parse_line
from plugtron.testing.models import write_model

#: The ways in which a line may be no request, and what its error is called.
BAD = {
    '{"custom_id": "torn", "method"': "invalid_json_line",
    "[1, 2]": "invalid_json_line",
    '{"custom_id": "r1", "method": "POST", "url": "/v1/completions", "body": {}}': "duplicate_custom_id",
    '{"custom_id": "u", "method": "POST", "url": "/v1/images", "body": {}}': "invalid_url",
    '{"custom_id": "g", "method": "GET", "url": "/v1/completions", "body": {}}': "invalid_request",
    '{"custom_id": "s", "method": "POST", "url": "/v1/completions", "body": {"stream": true}}': "invalid_request",
    '{"custom_id": 5, "method": "POST", "url": "/v1/completions", "body": {}, "more": 1}': "invalid_request",
    "[" * 100_000: "invalid_json_line",
}
#: Long enough to be met in the middle.
LONG = 150


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("batch") / "tiny")


@pytest.fixture(scope="module")
def answers(model):
    def expected(numbers, **body):
        with LLM(model, dtype="float32", engine="dynamic") as llm:
            return batch_lines.expected(llm, numbers, **body)

    return expected


def check_complete(results, expected):
    records = read(results)
    assert sorted(record["custom_id"] for record in records) == sorted(expected)
    assert {record["custom_id"]: tokens(record) for record in records} == expected


def test_a_batch_that_is_killed_goes_on_and_has_every_line_once(model, tmp_path):
    requests, results = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    bad_body = line(1, max_tokens=-5).replace('"r1"', '"bad"')
    good = [line(number, max_tokens=LONG - number) for number in range(1, 61)]
    requests.write_text("\n".join([*good, *BAD, "", bad_body]) + "\n")
    process = start(model, requests, results, "--set", "engine.options.max_batch_size=8")
    await_lines(process, results, 10)
    process.kill()
    process.communicate()
    assert 10 <= len(results.read_bytes().splitlines()) < 60
    with results.open("a") as file:
        file.write('{"id": "batch_req_17", "custom_id": "r9')  # as a machine leaves it that lost its power
    code, said = run(model, requests, results, "--stats")
    assert code == 0
    assert "9 of 69 requests failed" in said
    assert "tokens/s" in said
    records = read(results)
    wrong = [record for record in records if record["response"] is None]
    assert Counter(record["error"]["code"] for record in wrong) == Counter(BAD.values())
    assert [record["error"]["line"] for record in sorted(wrong, key=lambda each: each["error"]["line"])] == list(
        range(61, 69)
    )
    (refused,) = [record for record in records if record["custom_id"] == "bad"]
    assert refused["response"]["status_code"] == 400
    assert "max_tokens" in refused["response"]["body"]["error"]["message"]
    fine = [record for record in records if record["response"] and record["response"]["status_code"] == 200]
    expected = {f"r{number}": LONG - number for number in range(1, 61)}
    assert {record["custom_id"]: len(tokens(record)) for record in fine} == expected
    assert len(records) == 69


@pytest.mark.wide
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_a_batch_with_what_it_has(model, answers, tmp_path, number):
    requests, results = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    requests.write_text("".join(line(each, max_tokens=LONG) + "\n" for each in range(120)))
    process = start(model, requests, results, "--set", "engine.options.max_batch_size=8")
    await_lines(process, results, 10)
    process.send_signal(number)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert 10 <= len(read(results)) < 120
    assert run(model, requests, results)[0] == 0
    check_complete(results, answers(range(120), max_tokens=LONG))
    # Nothing is left to do, and nothing is done.
    before = results.read_bytes()
    assert run(model, requests, results)[0] == 0
    assert results.read_bytes() == before


@pytest.mark.wide
def test_two_hundred_lines_have_the_tokens_of_run(model, tmp_path):
    requests, results = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    requests.write_text("".join(line(each) + "\n" for each in range(200)))
    prompts = []
    for each in range(200):
        _, asked = batch_lines.request(each)
        names = ("temperature", "seed", "max_tokens", "ignore_eos")
        sampling = {name: asked[name] for name in names if name in asked}
        given = {name: asked[name] for name in ("prompt", "messages", "chat_template") if name in asked}
        prompts.append({**given, "sampling": sampling})
    spec = tmp_path / "run.yaml"
    spec.write_text(
        json.dumps(
            {
                "version": 1,
                "model": {"checkpoint": str(model), "dtype": "float32"},
                "engine": "dynamic",
                "prompts": prompts,
            }
        )
    )
    ran = plugtron("run", spec, check=0)
    expected = {f"r{record['index']}": record["tokens"] for record in map(json.loads, ran.stdout.splitlines())}
    assert len(expected) == 200
    assert run(model, requests, results) == (0, "")
    check_complete(results, expected)
    # Anew, on a whole output; and all that can fail does.
    assert run(model, requests, results, "--restart") == (0, "")
    check_complete(results, expected)


@pytest.mark.wide
def test_what_must_not_be_written_over(model, tmp_path):
    requests, results = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    requests.write_text("no request\n")
    code, said = run(model, requests, results)
    assert code == 1
    assert said == "1 of 1 requests failed\n"
    results.write_text("a letter\n")
    code, said = run(model, requests, results)
    assert code == 2
    assert "out.jsonl:1: is no line that 'plugtron batch' writes" in said
    assert results.read_text() == "a letter\n"
    code, said = run(model, requests, requests)
    assert code == 2
    assert "which is read" in said


def test_what_an_output_says_is_done(tmp_path):
    file = tmp_path / "out.jsonl"
    good = '{"id": "batch_req_1", "custom_id": "a", "response": {"status_code": 200}, "error": null}\n'
    bad = '{"id": "batch_req_2", "custom_id": null, "response": null, "error": {"code": "x", "line": 7}}\n'
    for torn in ("", '{"id": "batch_re', '{"id": "batch_req_3", "custom_id": "b"', "\0\0\0\0"):
        file.write_text(good + bad + torn)
        done = Done.read(file)
        assert (done.custom_ids, done.lines, done.failed, done.size) == ({"a"}, {7}, 1, len(good + bad))
    for foreign in ("hello", "hello\n", '{"id": "batch_req_1"}\n', "[]\n", '{"id": 5}'):
        file.write_text(good + foreign)
        with pytest.raises(SpecError, match=r"out\.jsonl:2: is no line"):
            Done.read(file)


def test_lines_are_read_within_bounds():
    long = b"x" * 70_000
    file = io.BytesIO(b"\xef\xbb\xbf{}\n\n  \n" + long + b"\n[]\n" + long * 3 + b"\n1")
    found = list(numbered_lines(file, 1024))
    assert found == [(1, b"{}\n"), (4, None), (5, b"[]\n"), (6, None), (7, b"1")]
    with pytest.raises(LineError, match=r"line 4: it is longer than serve\.max_body_bytes allows"):
        parse_line(*reversed(found[1]))


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--replicas", 2], "--replicas: without --ray there is one"),
        pytest.param(
            ["--ray"],
            "batch --ray needs ray, which is not installed: pip install 'plugtron[serve,ray]'",
            marks=pytest.mark.skipif(find_spec("ray") is not None, reason="it is"),
        ),
    ],
)
def test_mistakes_of_ray(model, tmp_path, arguments, text):
    requests = tmp_path / "in.jsonl"
    requests.write_text(line(1) + "\n")
    code, err = run(model, requests, tmp_path / "out.jsonl", *arguments)
    assert code != 0
    assert text in err
