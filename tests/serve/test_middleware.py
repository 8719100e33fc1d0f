"""Keys, rates, other origins, the log: what stands before endpoints; and what says how the server is."""

import json
import ssl
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from support.chat_fixtures import ASKED, MODEL
from support.raw_http import metrics
from support.serving import served

CHAT = "/v1/chat/completions"


def asked(url, path, body=None, **headers):
    """The status, the headers and the data of a response."""
    data = None if body is None else json.dumps(body).encode()
    request = Request(f"{url}{path}", data, {name.replace("_", "-"): value for name, value in headers.items()})
    try:
        with urlopen(request, timeout=600) as answer:
            return answer.status, answer.headers, answer.read()
    except HTTPError as error:
        return error.code, error.headers, error.read()


@pytest.fixture(scope="module")
def guarded(default_model, tmp_path_factory):
    """A server with everything before its endpoints."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "keys.txt").write_text("secret-one\n\nsecret-two\n")
    (folder / "run.yaml").write_text(
        "version: 1\nmodel: {checkpoint: smollm2-135m-instruct}\nsampling: {max_tokens: 3, temperature: 0}\nserve:\n"
        "  models: [one, two]\n  routes: [{name: log, options: {file: log.jsonl}}, health, openai, metrics,\n"
        "    {name: rate_limit, options: {requests_per_minute: 0.001, burst: 4}}]\n"
    )
    with served(
        folder / "run.yaml",
        *("--api-key-file", folder / "keys.txt", "--cors", "https://example.org"),
    ) as running:
        yield running, folder / "log.jsonl"


def test_keys(guarded):
    url = guarded[0].url
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"x_api_key": "secret-onE"},
        {"Authorization": "secret-one"},
    ):
        status, told, body = asked(url, "/v1/models", **headers)
        assert (status, told["WWW-Authenticate"]) == (401, "Bearer")
        assert json.loads(body)["error"]["code"] == "invalid_api_key"
    for headers in ({"Authorization": "Bearer secret-one"}, {"x_api_key": "secret-two"}):
        status, _, body = asked(url, "/v1/models", **headers)
        assert status == 200
        assert [model["id"] for model in json.loads(body)["data"]] == ["one", "two"]
    assert asked(url, "/health")[0] == asked(url, "/ready")[0] == 200
    assert asked(url, "/metrics")[0] == 401


def test_other_origins(guarded):
    url = guarded[0].url
    _, told, _ = asked(url, "/health", Origin="https://example.org")
    assert told["Access-Control-Allow-Origin"] == "https://example.org"
    _, told, _ = asked(url, "/health", Origin="https://example.com")
    assert told["Access-Control-Allow-Origin"] is None


def test_rates_and_the_log(guarded):
    server, log = guarded
    key = {"Authorization": "Bearer secret-one"}
    assert asked(server.url, "/v1/models", Authorization="Bearer wrong")[0] == 401
    body = {"messages": ASKED, "user": "alice", "metadata": {"team": "sea"}}
    statuses = []
    for number in range(6):
        status, told, data = asked(server.url, CHAT, body, **key, X_Request_ID=f"mine-{number}")
        statuses.append(status)
        assert told["X-Request-ID"] == f"mine-{number}"
        if status == 429:
            assert int(told["Retry-After"]) > 0
        else:
            assert json.loads(data)["usage"]["completion_tokens"] == 3  # as the spec has it
    assert sorted(set(statuses)) == [200, 429]
    assert asked(server.url, CHAT, body, Authorization="Bearer secret-two")[0] == 200  # another client
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (mine,) = [line for line in lines if line["id"] == "mine-0"]
    assert (mine["status"], mine["user"], mine["model"], mine["path"]) == (200, "alice", "one", CHAT)
    assert mine["metadata"] == {"team": "sea"}
    assert (mine["completion_tokens"], mine["finish_reasons"]) == (3, ["length"])
    assert mine["seconds"] > mine["time_to_first_token"] > 0
    assert {line["status"] for line in lines} >= {200, 401, 429}
    assert not [line for line in lines if line["path"] == "/health"]
    told = log.read_text() + server.log
    assert not [word for word in ("secret", "wrong", ASKED[0]["content"]) if word in told]


def test_counts(server):
    before = metrics(server.url)
    body = {"messages": ASKED, "max_tokens": 5, "temperature": 0}
    assert asked(server.url, CHAT, body)[0] == 200
    assert asked(server.url, CHAT, {**body, "temperature": 1e9})[0] == 400
    after = metrics(server.url)
    grown = {name: after[name] - before.get(name, 0) for name in after}
    assert grown["gen_ai_server_time_to_first_token_seconds_count"] == 1
    assert grown["vllm:time_to_first_token_seconds_count"] == 1
    assert grown["vllm:generation_tokens_total"] <= 5
    assert grown["plugtron_prompt_tokens_total"] == grown["vllm:prompt_tokens_total"] > 0
    assert after["vllm:num_requests_running"] == after["plugtron_kv_blocks_used"] == 0


def test_texts_and_ids(server):
    _, _, body = asked(server.url, "/tokenize", {"prompt": "Hello, world", "return_token_strs": True})
    found = json.loads(body)
    assert found["count"] == len(found["tokens"]) == len(found["token_strs"])
    _, _, body = asked(server.url, "/detokenize", {"tokens": found["tokens"]})
    assert json.loads(body)["prompt"] == "Hello, world"
    _, _, body = asked(server.url, "/tokenize", {"messages": ASKED})
    _, _, answer = asked(server.url, CHAT, {"messages": ASKED, "max_tokens": 1, "return_token_ids": True})
    assert json.loads(body)["tokens"] == json.loads(answer)["prompt_token_ids"]
    for wrong in ({}, {"prompt": "x", "messages": ASKED}, {"prompt": "\ud800"}, {"model": "x", "prompt": "x"}):
        assert asked(server.url, "/tokenize", wrong)[0] in (400, 404)
    assert asked(server.url, "/detokenize", {"tokens": [10**9]})[0] == 400


def test_the_description_of_all_endpoints(server):
    document = json.loads(asked(server.url, "/openapi.json")[2])
    assert document["openapi"] == "3.1.0"
    chat = document["components"]["schemas"]["ChatBody"]
    assert {"messages", "temperature", "json_schema", "tools"} <= set(chat["properties"])
    assert chat["additionalProperties"] is False
    for path, operations in document["paths"].items():
        for method in operations:
            address = path.replace("{name}", MODEL).replace("{id}", "resp_none")
            status, _, _ = asked(server.url, address, {} if method == "post" else None)
            assert status < 500, (method, path)


def test_tls(default_model):
    files = Path(__file__).parents[1] / "data" / "tls"
    certificate, key = files / "certificate.pem", files / "key.pem"
    with served(MODEL, "--tls-certificate", certificate, "--tls-key", key) as running:
        assert running.url.startswith("https://")
        trusted = ssl.create_default_context(cafile=certificate)
        with urlopen(f"{running.url}/v1/models", context=trusted, timeout=600) as answer:
            assert json.load(answer)["data"][0]["id"] == MODEL


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--api-key-file", "/nowhere"], "No such file"),
        (["--set", "serve.routes=[nobody]"], "serve.routes.0"),
        (["--set", "serve.ports=1"], "Did you mean 'port'"),
        (["--set", "serve.tls_certificate=/nowhere.pem"], "tls_certificate"),
    ],
    ids=str,
)
def test_what_is_wrong_with_a_server_is_said_at_once(default_model, arguments, said):
    with pytest.raises(AssertionError) as caught, served(MODEL, *arguments):
        pass
    assert said in str(caught.value)
    assert "Traceback" not in str(caught.value)
