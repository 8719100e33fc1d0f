"""Requests that no client should make: each is answered, or refused with what is wrong; none is a defect."""

import json

import pytest
from support.chat_fixtures import ASKED, TEMPLATE, TOOL
from support.raw_http import answer, await_idle, posted

CHAT, MESSAGES, RESPONSES = "/v1/chat/completions", "/v1/messages", "/v1/responses"
DEEP = "[" * 100_000


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
    ],
    ids=["user", "name", "infinity", "format", "none", "result"],
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
