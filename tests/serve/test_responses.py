"""/v1/responses through OpenAI's own client."""

import json

import jsonschema
import openai
import pytest
from support.chat_fixtures import ANSWER, ASKED, MODEL, PARAMETERS, PERSON, TEMPLATE

from plugtron import LLM

TOOL = {"type": "function", "name": "look_up", "description": "look a word up", "parameters": PARAMETERS}
OWN = {"choice": [ANSWER], "chat_template": TEMPLATE}


def finished(client, stream, **asked):
    """The response, whole or as the end of a stream whose events are what its client makes of them."""
    if not stream:
        return client.responses.create(model=MODEL, **asked)
    with client.responses.stream(model=MODEL, **asked) as events:
        seen = list(events)
    response = seen[-1].response
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    texts = "".join(event.delta for event in seen if event.type == "response.output_text.delta")
    assert texts == "".join(part.text for item in response.output if item.type == "message" for part in item.content)
    return response


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_is_what_it_is_offline(client, default_model, stream):
    with LLM(MODEL, engine="dynamic") as llm:
        offline = llm.chat([{"role": "system", "content": "Be brief."}, *ASKED], {"temperature": 0, "max_tokens": 8})
    response = finished(client, stream, input=ASKED, instructions="Be brief.", temperature=0, max_output_tokens=8)
    assert response.output[0].content[0].text == offline.text
    assert response.status == {"stop": "completed", "length": "incomplete"}[offline.finish_reason]
    assert response.usage.output_tokens == len(offline.tokens)
    assert response.usage.input_tokens == len(offline.prompt_tokens)


@pytest.mark.parametrize("stream", [False, True])
def test_reasoning_text_and_calls_are_items(client, stream):
    response = finished(client, stream, input="Hello", tools=[TOOL], extra_body=OWN)
    reasoning, message, call = response.output
    assert (reasoning.type, reasoning.content[0].text) == ("reasoning", "Hm.")
    assert (message.type, message.content[0].text) == ("message", "One moment.")
    assert (call.type, call.name, json.loads(call.arguments)) == ("function_call", "look_up", {"word": "sea"})
    result = {"type": "function_call_output", "call_id": call.call_id, "output": "water"}
    again = {**OWN, "choice": ["Water."]}
    stored = finished(client, stream, input=[result], tools=[TOOL], previous_response_id=response.id, extra_body=again)
    said = [{"role": "user", "content": "Hello"}, *(item.model_dump() for item in response.output), result]
    sent = finished(client, stream, input=said, tools=[TOOL], extra_body=again)
    assert stored.output[0].content[0].text == sent.output[0].content[0].text == "Water."
    assert stored.usage.input_tokens == sent.usage.input_tokens


def test_a_schema_and_a_call_that_is_insisted_on(client):
    form = {"format": {"type": "json_schema", "name": "person", "schema": PERSON}}
    response = client.responses.create(
        model=MODEL, input="Describe a sailor.", text=form, max_output_tokens=80, extra_body={"seed": 5}
    )
    jsonschema.validate(json.loads(response.output_text), PERSON)
    response = client.responses.create(
        model=MODEL,
        input="Hello",
        tools=[TOOL],
        tool_choice={"type": "function", "name": "look_up"},
        max_output_tokens=60,
        extra_body={"chat_template": TEMPLATE, "seed": 1},
    )
    jsonschema.validate(json.loads(response.output[0].arguments), PARAMETERS)


def test_stored_responses(client):
    response = client.responses.create(model=MODEL, input="Hello", max_output_tokens=2, temperature=0)
    assert client.responses.retrieve(response.id).output_text == response.output_text
    client.responses.delete(response.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(response.id)
    unstored = client.responses.create(model=MODEL, input="Hello", max_output_tokens=2, store=False)
    with pytest.raises(openai.NotFoundError):
        client.responses.create(model=MODEL, input="Go on", previous_response_id=unstored.id)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0.type"),
        ({"input": "x", "background": True}, "background"),
        ({"input": "x", "tools": [{"type": "web_search"}]}, "tools.0"),
        ({"input": "x", "tool_choice": "required"}, "tool_choice"),
        ({"input": "x", "extra_body": {"maximum": 1}}, "maximum"),
    ],
    ids=str,
)
def test_what_is_wrong(client, asked, said):
    with pytest.raises(openai.BadRequestError) as caught:
        client.responses.create(model=MODEL, **asked)
    assert said in caught.value.body["message"]
