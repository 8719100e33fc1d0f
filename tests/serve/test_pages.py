"""The pages of the server as files and data; what they do in a browser is in tests/clients."""

import asyncio
import re
from contextlib import aclosing, contextmanager
from urllib.request import urlopen

import jsonschema
import pytest
import yaml
from starlette.testclient import TestClient

from plugtron.engine import AsyncEngine
from plugtron.serve.application import make_application
from plugtron.serve.build import build_routes
from plugtron.serve.pages.state import state
from plugtron.serve.service import SessionService
from plugtron.testing.host import Host
from plugtron.testing.models import write_model

PAGES = ["/", "/plugtron"]
DATA = ["/plugtron/parameters", "/plugtron/assembled", "/plugtron/state"]
SECRET = "the moon is made of cheese"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"))


@contextmanager
def running(folder, **settings):
    """The application over a small random model, in this process: its client and its service."""
    values = {
        "model": {"checkpoint": str(folder), "dtype": "float32"},
        "execution": "eager",
        "engine": {"name": "dynamic", "options": {"blocks": 16}},
        "chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}",
        "sampling": {"top_k": 7},
        "prompts": [SECRET],
        "serve": {"routes": ["health", "openai", "pages"], **settings},
    }
    with Host().session(values) as session, AsyncEngine(session) as engine:
        service = SessionService(session, engine, models=["tiny"], max_requests=8, ends_chats=False)
        application = make_application(build_routes(service, session.resolved), max_body_bytes=2**20)
        with TestClient(application, raise_server_exceptions=False) as client:
            yield client, service


@pytest.fixture(scope="module")
def tiny(folder):
    with running(folder) as made:
        yield made


@pytest.fixture
def client(tiny):
    return tiny[0]


def ask(client, **asked):
    body = {"messages": [{"role": "user", "content": SECRET}], "max_tokens": 5, "ignore_eos": True, **asked}
    return client.post("/v1/chat/completions", json=body)


@pytest.mark.parametrize("path", [*PAGES, *DATA, "/static/base.css"])
def test_all_is_guarded(client, path):
    answer = client.get(path)
    assert answer.status_code == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'self';")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.head(path).status_code == 200
    for method in ("POST", "PUT", "DELETE"):
        refused = client.request(method, path)
        assert (refused.status_code, sorted(refused.headers["allow"].split(", "))) == (405, ["GET", "HEAD"])


@pytest.mark.parametrize("path", PAGES)
def test_files_are_this_servers_own(client, path):
    """What pages load, and what that loads: from here, all of it there, and nothing inline that the policy forbids."""
    todo, seen = [path], set()
    while todo:
        page = todo.pop()
        answer = client.get(page)
        assert answer.status_code == 200, page
        seen.add(page)
        text = answer.text
        assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)[\w.]+/", text), page
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text), page
        if page in PAGES:
            assert not re.search(r"<style|style=|<script(?![^>]*src=)|\son\w+=", text)
        found = re.findall(r'(?:src|href)="(static/[^"]+)"', text) if page in PAGES else []
        found += [f"static/{name}" for name in re.findall(r'from "\./([^"]+)"', text)]
        todo += {f"/{each}" for each in found} - seen
    assert len(seen) > 5


def test_browsers_keep_files(client):
    first = client.get("/static/chat.js")
    again = client.get("/static/chat.js", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert client.get("/static/chat.js", headers={"if-none-match": '"another"'}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/static/../routes.py", "/static/%2e%2e%2froutes.py", "/static/..%5croutes.py", "/static/", "/static/no.js"],
)
def test_no_other_file_can_be_had(client, path):
    assert client.get(path).status_code == 404


def test_parameters_are_those_that_the_run_accepts(client, tiny):
    schema = client.get("/plugtron/parameters").json()
    jsonschema.Draft202012Validator.check_schema(schema)
    properties = schema["properties"]
    models = [model for offer in tiny[1].components if (model := offer.params_model())]
    assert set(properties) == {name for model in models for name in model.model_fields}
    assert all(each["description"] for each in properties.values())
    # What is not among them, the run refuses, and says which it does accept.
    message = ask(client, no_such_parameter=1).json()["error"]["message"]
    accepted = re.search(r"in use: ([^)]*)", message)[1].split(", ")
    assert set(accepted) == set(properties)


def test_ranges_and_defaults_are_those_of_the_run(client):
    properties = client.get("/plugtron/parameters").json()["properties"]
    assert properties["top_k"]["default"] == 7
    assert properties["temperature"]["default"] == 1.0
    assert properties["max_tokens"]["default"] == -1  # of a chat: as long as the context has room
    assert "default" not in properties["seed"]
    assert properties["min_p"] | {"source": ""} == {
        "type": "number",
        "minimum": 0,
        "maximum": 1,
        "description": properties["min_p"]["description"],
        "source": "",
        "by": {"kind": "sampler", "name": "min_p"},
    }
    for name, declared in properties.items():
        for bound, outside in (("minimum", -1), ("maximum", 1), ("exclusiveMinimum", 0)):
            if bound in declared:
                assert ask(client, **{name: declared[bound] + outside}).status_code == 400, name


def test_state_follows_requests(client):
    before = client.get("/plugtron/state").json()
    assert ask(client, n=2).status_code == 200
    after = client.get("/plugtron/state").json()
    assert after["time"] > before["time"]
    assert after["answer_tokens"] - before["answer_tokens"] == 10
    assert after["stats"]["steps"] > before["stats"]["steps"]
    request = after["requests"][0]
    assert (request["finish_reason"], request["answers"], request["answer_tokens"]) == ("length", 2, 10)
    assert request["open"] is False
    assert request["prompt_tokens"] == len(SECRET)
    stretches = [request[name] for name in ("queue", "prefill", "decode")]
    assert min(stretches) >= 0
    assert sum(stretches) <= request["age"]
    assert 0 < request["inter_token"] < request["decode"]


def test_requests_that_are_open_come_first(tiny):
    service = tiny[1]

    async def look():
        request = service.new_request([1, 2, 3], {"max_tokens": 100, "ignore_eos": True})
        async with aclosing(service.stream(request)) as outputs:
            await anext(outputs)
            return state(service)

    seen = asyncio.run(look())
    assert seen["open"] == 1
    first = seen["requests"][0]
    assert (first["open"], first["finish_reason"], first["prompt_tokens"]) == (True, None, 3)
    assert seen["answer_tokens"] >= first["answer_tokens"] >= 1


def test_what_is_assembled(client):
    run = client.get("/plugtron/assembled").json()
    assert run["models"] == ["tiny"]
    assert ("engine", "dynamic", "plugtron") in [
        (each["kind"], each["name"], each["distribution"]) for each in run["components"]
    ]
    assert {each["state"] for each in run["plugins"]} == {"active"}
    assert run["machine"]["device"] == "cpu"
    assert run["machine"]["ranks"] == {"all": 1, "tensor": 1, "pipeline": 1, "data": 1}
    assert yaml.safe_load(run["spec"])["engine"]["options"]["blocks"] == 16


def test_prompts_are_nobody_elses_business(folder, client):
    ask(client)
    assert not [path for path in DATA if SECRET in client.get(path).text]
    with running(folder, log_prompts=True) as (open_client, _):
        ask(open_client)
        assert SECRET in open_client.get("/plugtron/state").json()["requests"][0]["prompt"]


def test_secret_options_are_not_shown(tiny, monkeypatch):
    client, service = tiny
    spec = {
        **service.settings,
        "plugins": {"options": {"acme": {"api_key": "s3", "url": "there", "more": [{"token": 1}]}}},
    }
    monkeypatch.setattr(service, "settings", spec)
    shown = yaml.safe_load(client.get("/plugtron/assembled").json()["spec"])
    hidden = {"api_key": "(hidden)", "url": "there", "more": [{"token": "(hidden)"}]}
    assert shown["plugins"]["options"]["acme"] == hidden
    assert service.settings["plugins"]["options"]["acme"]["api_key"] == "s3"


def test_pages_are_there_by_default(server):
    """A real server, as `plugtron serve` starts it."""
    for path in (*PAGES, *DATA):
        with urlopen(server.url + path, timeout=60) as answer:
            assert answer.status == 200
