"""/v1/messages through Anthropic's own client."""

import anthropic
import jsonschema
import pytest
from support.chat_fixtures import ANSWER, ASKED, MODEL, PARAMETERS, TEMPLATE

from plugtron import LLM

TOOL = {"name": "look_up", "description": "look a word up", "input_schema": PARAMETERS}


@pytest.fixture(scope="module")
def messages(server):
    with anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=600) as client:
        yield client.messages


def test_an_answer_is_what_it_is_offline(messages, default_model):
    with LLM(MODEL, engine="dynamic") as llm:
        system = {"role": "system", "content": "Be brief."}
        offline = llm.chat([system, *ASKED], {"temperature": 0, "max_tokens": 20})
        stopped = llm.chat([system, *ASKED], {"temperature": 0, "max_tokens": 20, "stop": [","]})
    asked = {
        "model": MODEL,
        "system": "Be brief.",
        "messages": ASKED,
        "max_tokens": 20,
        "extra_body": {"temperature": 0},
    }
    answer = messages.create(**asked)
    assert answer.content[0].text == offline.text
    assert answer.stop_reason == {"stop": "end_turn", "length": "max_tokens"}[offline.finish_reason]
    used = answer.usage
    assert used.input_tokens + used.cache_read_input_tokens == len(offline.prompt_tokens)
    assert used.output_tokens == len(offline.tokens)
    with messages.stream(**asked) as stream:
        assert "".join(stream.text_stream) == offline.text
        assert stream.get_final_message().stop_reason == answer.stop_reason
    counted = messages.count_tokens(model=MODEL, system="Be brief.", messages=ASKED)
    assert counted.input_tokens == len(offline.prompt_tokens)
    if stopped.stop_reason == ",":
        answer = messages.create(**asked, stop_sequences=[","])
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", ",")


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_and_calls_are_blocks(messages, stream):
    asked = {"model": MODEL, "messages": ASKED, "max_tokens": 99, "tools": [TOOL]}
    extra = {"choice": [ANSWER], "chat_template": TEMPLATE}
    if stream:
        with messages.stream(**asked, extra_body=extra) as events:
            answer = events.get_final_message()
    else:
        answer = messages.create(**asked, extra_body=extra)
    thinking, text, call = answer.content
    assert (thinking.thinking, text.text) == ("Hm.", "One moment.")
    assert (call.name, call.input, answer.stop_reason) == ("look_up", {"word": "sea"}, "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "water"}
    history = [*ASKED, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    more = messages.create(**{**asked, "messages": history}, extra_body={**extra, "choice": ["Water."]})
    assert more.content[0].text == "Water."


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "look_up"}], ids=str)
def test_a_call_that_is_insisted_on(messages, choice):
    answer = messages.create(
        model=MODEL,
        messages=ASKED,
        max_tokens=60,
        tools=[TOOL],
        tool_choice={**choice, "disable_parallel_tool_use": True},
        extra_body={"chat_template": TEMPLATE, "seed": 1},
    )
    (call,) = answer.content
    assert (call.name, answer.stop_reason) == ("look_up", "tool_use")
    jsonschema.validate(call.input, PARAMETERS)


def test_an_answer_that_the_client_has_begun(messages):
    begun = [*ASKED, {"role": "assistant", "content": "Red, blue and"}]
    answer = messages.create(model=MODEL, messages=begun, max_tokens=3, extra_body={"temperature": 0})
    assert answer.content[0].text.startswith(" ")


def test_errors_have_their_form(messages):
    with pytest.raises(anthropic.BadRequestError) as caught:
        messages.create(model=MODEL, messages=ASKED, max_tokens=5, extra_body={"temperature": -1})
    assert caught.value.body["type"] == "error"
    assert caught.value.body["error"]["type"] == "invalid_request_error"
    with pytest.raises(anthropic.NotFoundError):
        messages.create(model="claude", messages=ASKED, max_tokens=5)
    with pytest.raises(anthropic.BadRequestError, match=r"messages\.0\.content\.0\.type: 'image'"):
        messages.create(model=MODEL, messages=[{"role": "user", "content": [{"type": "image"}]}], max_tokens=5)
