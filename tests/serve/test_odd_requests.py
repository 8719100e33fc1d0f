"""Requests that no client should make: each is answered, or refused with what is wrong; none is a defect."""

import json
import socket
from contextlib import suppress
from http.client import HTTPConnection

import pytest
from support.chat_fixtures import ASKED, TEMPLATE, TOOL
from support.raw_http import answer, await_idle, posted
from support.serving import served

from plugtron.serve import ApiError
from plugtron.serve.responses.store import ResponseStore, Stored

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
DEEP = "[" * 100_000
STRING = {"type": "string"}


def ask(server, path, body):
    """The status of an answer, and its data."""
    status, told = answer(server.url, posted(path, body))
    return status, json.loads(told)


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (RESPONSES, b'{"input": "x", "user": "\\ud800"}', "user: must be Unicode"),
        (RESPONSES, b'{"input": "x", "metadata": {"\\ud800": "a"}}', "metadata: a name in it must be Unicode"),
        (
            RESPONSES,
            b'{"input": "x", "text": {"format": {"type": "text", "a": [1e999]}}}',
            "text.format.a.0: must be a fin",
        ),
        (
            CHAT,
            {"messages": ASKED, "tools": [TOOL], "tool_choice": "required", "response_format": "x"},
            "response_format",
        ),
        (MESSAGES, {"messages": [], "max_tokens": 1}, "messages: must have at least 1"),
        (
            MESSAGES,
            {
                "messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": 5}]}],
                "max_tokens": 1,
            },
            "messages.0.content.0.content: must be a text",
        ),
        (
            CHAT,
            {"messages": ASKED, "tools": [{"type": "function", "function": {"name": "f", "parameters": STRING}}]},
            "tools.0.function.parameters.type: must be object",
        ),
        (CHAT, {"messages": ASKED, "tools": [TOOL], "tool_choice": "required", "echo": True}, "echo: not with tool_c"),
        ("/v1/completions", {"prompt": ["x"] * 1025, "max_tokens": 1}, "prompt: 1025 at once (accepted: up to"),
        ("/v1/embeddings", {"input": ["x"] * 1025}, "texts: 1025 at once (accepted: up to 1024"),
    ],
    ids=["user", "name", "infinity", "format", "none", "result", "parameters", "echo", "prompts", "texts"],
)
def test_what_is_refused(server, path, body, said):
    status, told = ask(server, path, body)
    assert status == 400
    assert said in told["error"]["message"]


def test_arguments_that_are_nested_without_end(server):
    """They are text for the template, as other arguments are that are no JSON."""
    call = {"type": "function", "function": {"name": "f", "arguments": DEEP}}
    body = {"messages": [{"role": "assistant", "content": "", "tool_calls": [call]}, *ASKED], "max_tokens": 1}
    assert ask(server, CHAT, body)[0] == 200
    item = {"type": "function_call", "call_id": "a", "name": "f", "arguments": DEEP}
    assert ask(server, RESPONSES, {"input": [item], "max_output_tokens": 1})[0] == 200


def test_mistakes_without_number(server):
    """The first one is said; to tell all would hold up the server."""
    for path, name in ((CHAT, "messages"), ("/v1/completions", "prompt"), ("/v1/embeddings", "input")):
        status, told = ask(server, path, b'{"%s": [%snull]}' % (name.encode(), b"null," * 100_000))
        assert status == 400
        assert f"{name}.0: must be" in told["error"]["message"]
        assert len(told["error"]["message"]) < 1000


def test_numbers_of_a_call_that_json_cannot_write_again(server):
    """They stay as the model has written them."""
    text = '<tool_call>\n{"name": "f", "arguments": {"a": 1e999}}\n</tool_call>'
    pattern = "".join(f"\\{each}" if each in "{}." else each for each in text.replace("\n", "\\n"))
    body = {"messages": ASKED, "chat_template": TEMPLATE, "parser": "hermes", "regex": pattern, "max_tokens": 60}
    status, told = ask(server, MESSAGES, {**body, "tools": [{"name": "f", "input_schema": {"type": "object"}}]})
    assert status == 200
    assert [block["input"] for block in told["content"]] == [{"a": "1e999"}]


def test_tools_with_definitions(server):
    """Their references are right, too, where a call is insisted on: pydantic writes tools in this form."""
    point = {"type": "object", "properties": {"x": {"const": 1}}, "required": ["x"], "additionalProperties": False}
    parameters = {
        "type": "object",
        "properties": {"p": {"$ref": "#/$defs/P"}},
        "required": ["p"],
        "additionalProperties": False,
        "$defs": {"P": point},
    }
    tools = [{"type": "function", "function": {"name": name, "parameters": parameters}} for name in ("f", "g")]
    body = {
        "messages": ASKED,
        "chat_template": TEMPLATE,
        "tools": tools,
        "parallel_tool_calls": False,
        "max_tokens": 80,
    }
    for choice in ("required", {"type": "function", "function": {"name": "g"}}):
        status, told = ask(server, CHAT, {**body, "tool_choice": choice})
        assert status == 200, told
        (call,) = told["choices"][0]["message"]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == {"p": {"x": 1}}
    await_idle(server.url)


@pytest.mark.parametrize(
    ("path", "body", "name"),
    [
        (MESSAGES, {"messages": ASKED, "max_tokens": 1, "return_token_ids": True}, "return_token_ids"),
        (MESSAGES, {"messages": ASKED, "max_tokens": 1, "logprobs": 0}, "logprobs"),
        (RESPONSES, {"input": "x", "stream": True, "stream_options": {"include_usage": True}}, "stream_options"),
        (CHAT, {"messages": ASKED, "prompt_logprobs": 0}, "prompt_logprobs"),
        ("/v1/completions", {"prompt": "x", "stream": True, "prompt_logprobs": 0}, "prompt_logprobs"),
    ],
)
def test_nothing_is_asked_for_in_vain(server, path, body, name):
    status, told = ask(server, path, body)
    assert status == 400
    assert told["error"]["message"].startswith(f"{name}: ")


def test_a_streamed_prompt_comes_once(server):
    """Though the answer's first tokens are no whole character, and the prompt's are not shown."""
    body = {"prompt": [1, 1], "echo": True, "logprobs": 0, "regex": "\U0001f389", "stream": True, "max_tokens": 8}
    status, told = answer(server.url, posted("/v1/completions", body))
    assert status == 200
    lines = [line[6:] for line in told.decode().splitlines() if line.startswith("data: {")]
    probabilities = [json.loads(line)["choices"][0]["logprobs"]["token_logprobs"] for line in lines]
    assert [values.count(None) for values in probabilities] == [1, *[0] * (len(lines) - 1)]


def test_what_leaves_no_token_in_the_end(server):
    """Each of them is possible, and all of them together for a while: nothing is wrong with the server."""
    body = {"prompt": "a", "allowed_token_ids": [504], "no_repeat_ngram_size": 2, "max_tokens": 9, "ignore_eos": True}
    status, told = ask(server, "/v1/completions", body)
    assert status == 400
    assert told["error"]["type"] == "invalid_request_error"
    assert "no token is left that could be drawn" in told["error"]["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_characters_of_several_tokens(server, stream):
    """A token stands where its character begins."""
    text = "a🌸b日本"
    body = {"prompt": text, "max_tokens": 3, "temperature": 0, "logprobs": 0, "echo": True, "stream": stream}
    if stream:
        _, told = answer(server.url, posted("/v1/completions", body))
        events = [json.loads(line[6:]) for line in told.decode().splitlines() if line.startswith("data: {")]
        choices = [event["choices"][0] for event in events]
    else:
        choices = ask(server, "/v1/completions", body)[1]["choices"]
    whole = "".join(choice["text"] for choice in choices)
    places = [place for choice in choices for place in choice["logprobs"]["text_offset"]]
    tokens = [token for choice in choices for token in choice["logprobs"]["tokens"]]
    assert places == sorted(places)
    assert len(set(places)) < len(places)
    for place, token, end in zip(places, tokens, [*places[1:], len(whole)], strict=True):
        assert "\ufffd" in token or whole[place:end] == token


def test_responses_in_memory():
    """They are bounded by number and by bytes."""
    store = ResponseStore(3, 1000)
    for number in range(5):
        store.put(Stored({"id": str(number)}, []))
    assert [each for each in "01234" if there(store, each)] == ["2", "3", "4"]
    store.put(Stored({"id": "long"}, [{"role": "user", "content": "x" * 940}]))
    assert [each for each in ("3", "4", "long") if there(store, each)] == ["long"]
    store.put(Stored({"id": "longer"}, [{"role": "user", "content": "x" * 1000}]))
    assert not there(store, "longer")
    store.put(Stored({"id": "last"}, []))
    store.delete("last")
    store.put(Stored({"id": "again"}, [{"role": "user", "content": "x" * 940}]))
    assert there(store, "again")


def there(store, name):
    try:
        return store.get(name).response["id"] == name
    except ApiError:
        return False


def test_a_browser_waits_for_the_model(default_model):
    """It is shown a page that asks again; programs are told in JSON."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    seen = set()
    with served("smollm2-135m-instruct", "--port", str(port), wait=False) as server:
        while True:
            for accepted in ("text/html", "application/json"):
                with suppress(ConnectionError):
                    status, kind = asked(port, accepted)
                    seen.add((status, accepted, kind.partition(";")[0]))
            if any(status == 200 for status, *_ in seen):
                break
            assert server.process.poll() is None
        assert server.stop() == 0
    assert (503, "text/html", "text/html") in seen
    assert (503, "application/json", "application/json") in seen
    assert (200, "text/html", "text/html") in seen or (200, "application/json", "text/html") in seen


def asked(port, accepted):
    connection = HTTPConnection("127.0.0.1", port, timeout=600)
    try:
        connection.request("GET", "/", headers={"Accept": accepted})
        answered = connection.getresponse()
        answered.read()
        return answered.status, answered.headers["Content-Type"]
    finally:
        connection.close()
