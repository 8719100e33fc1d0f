"""The server through OpenAI's own client: what comes back is what the same model says offline."""

import json

import jsonschema
import openai
import pytest
from support.chat_fixtures import ASKED, MODEL, PERSON, TEMPLATE, TOOL

from plugtron import LLM


@pytest.fixture(scope="module")
def llm(default_model):
    with LLM(MODEL, engine="dynamic") as made:
        yield made


@pytest.mark.parametrize("asked", [{"temperature": 0}, {"temperature": 0.8, "top_p": 0.9, "seed": 7}], ids=str)
def test_chats_are_what_they_are_offline(client, llm, asked):
    offline = llm.chat(ASKED, {**asked, "max_tokens": 24})
    answer = client.chat.completions.create(model=MODEL, messages=ASKED, max_completion_tokens=24, **asked)
    assert answer.choices[0].message.content == offline.text
    assert answer.choices[0].finish_reason == offline.finish_reason
    assert answer.usage.completion_tokens == len(offline.tokens)
    assert answer.usage.prompt_tokens == len(offline.prompt_tokens)
    pieces = client.chat.completions.create(
        model=MODEL, messages=ASKED, max_tokens=24, stream=True, stream_options={"include_usage": True}, **asked
    )
    *chunks, last = pieces
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == offline.text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == [
        offline.finish_reason
    ]
    assert (last.choices, last.usage.completion_tokens) == ([], len(offline.tokens))


def test_completions_are_what_they_are_offline(client, llm):
    prompts = ["The capital of France is", "Once upon a time"]
    offline = llm.generate(prompts, {"temperature": 0.7, "seed": 3, "n": 2, "max_tokens": 12})
    texts = [sequence.text for request in offline for sequence in request.sequences]
    asked = {"model": MODEL, "prompt": prompts, "temperature": 0.7, "seed": 3, "n": 2, "max_tokens": 12}
    answer = client.completions.create(**asked)
    assert [choice.text for choice in answer.choices] == texts
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    streamed = ["", "", "", ""]
    for chunk in client.completions.create(stream=True, **asked):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == texts


def test_ids_in_and_out(client, llm):
    ids = llm.tokenizer.encode("The capital of France is")
    answer = client.completions.create(
        model=MODEL, prompt=ids, temperature=0, max_tokens=4, extra_body={"return_token_ids": True}
    )
    offline = llm.generate([ids], {"temperature": 0, "max_tokens": 4})[0]
    assert answer.choices[0].token_ids == offline.tokens
    assert answer.choices[0].prompt_token_ids == ids


def test_log_probabilities(client, llm):
    offline = llm.chat(ASKED, {"temperature": 0, "max_tokens": 5, "logprobs": 2})
    asked = {"model": MODEL, "messages": ASKED, "temperature": 0, "max_tokens": 5, "logprobs": True, "top_logprobs": 2}
    answer = client.chat.completions.create(**asked)
    entries = answer.choices[0].logprobs.content
    assert [entry.logprob for entry in entries] == [entry.value for entry in offline.log_probs]
    assert "".join(entry.token for entry in entries) == offline.text
    assert all(len(entry.top_logprobs) == 2 and bytes(entry.bytes).decode() == entry.token for entry in entries)
    streamed = [
        entry
        for chunk in client.chat.completions.create(stream=True, **asked)
        for entry in (chunk.choices[0].logprobs.content if chunk.choices[0].logprobs else ())
    ]
    assert [entry.logprob for entry in streamed] == [entry.logprob for entry in entries]


@pytest.mark.parametrize("stream", [False, True])
def test_echo_has_log_probabilities_of_the_prompt(client, llm, stream):
    """What lm-evaluation-harness scores with."""
    prompt = "The capital of France is Paris"
    score = llm.generate(prompt, {"max_tokens": 1, "temperature": 0, "logprobs": 1, "prompt_logprobs": 1})
    asked = {"model": MODEL, "prompt": prompt, "max_tokens": 1, "temperature": 0, "logprobs": 1, "echo": True}
    if stream:
        chunks = list(client.completions.create(stream=True, **asked))
        text = "".join(chunk.choices[0].text for chunk in chunks)
        values = [value for chunk in chunks for value in chunk.choices[0].logprobs.token_logprobs]
        tokens = [token for chunk in chunks for token in chunk.choices[0].logprobs.tokens]
        places = [place for chunk in chunks for place in chunk.choices[0].logprobs.text_offset]
    else:
        choice = client.completions.create(**asked).choices[0]
        text, values, tokens = choice.text, choice.logprobs.token_logprobs, choice.logprobs.tokens
        places = choice.logprobs.text_offset
    assert text == prompt + score.text == "".join(tokens)
    assert values == [None, *(entry.value for entry in score.prompt_log_probs[1:]), score.log_probs[0].value]
    assert all(text.startswith(token, place) for place, token in zip(places, tokens, strict=True))


@pytest.mark.parametrize("stream", [False, True])
def test_a_schema(client, stream):
    form = {"type": "json_schema", "json_schema": {"name": "person", "schema": PERSON}}
    asked = {"model": MODEL, "messages": ASKED, "response_format": form, "seed": 5, "max_tokens": 80}
    if stream:
        chunks = client.chat.completions.create(stream=True, **asked)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    else:
        text = client.chat.completions.create(**asked).choices[0].message.content
    jsonschema.validate(json.loads(text), PERSON)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look_up"}}], ids=str)
@pytest.mark.parametrize("stream", [False, True])
def test_a_call_that_is_insisted_on(client, choice, stream):
    asked = {
        "model": MODEL,
        "messages": ASKED,
        "tools": [TOOL],
        "tool_choice": choice,
        "parallel_tool_calls": False,
        "seed": 1,
        "max_tokens": 60,
        "extra_body": {"chat_template": TEMPLATE},
    }
    if stream:
        chunks = [chunk.choices[0] for chunk in client.chat.completions.create(stream=True, **asked)]
        parts = [call for chunk in chunks for call in chunk.delta.tool_calls or ()]
        name = parts[0].function.name
        arguments = "".join(part.function.arguments for part in parts)
        reason = chunks[-1].finish_reason
    else:
        answer = client.chat.completions.create(**asked).choices[0]
        (call,) = answer.message.tool_calls
        name, arguments, reason = call.function.name, call.function.arguments, answer.finish_reason
        assert answer.message.content is None
    assert (name, reason) == ("look_up", "tool_calls")
    jsonschema.validate(json.loads(arguments), TOOL["function"]["parameters"])


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_in_the_model_s_own_form(client, stream):
    """A grammar makes the model write what Hermes' template describes; the parser takes it apart."""
    call = '<tool_call>\n{"name": "look_up", "arguments": {"word": "sea"}}\n</tool_call>'
    asked = {
        "model": MODEL,
        "messages": ASKED,
        "tools": [TOOL],
        "max_tokens": 60,
        "extra_body": {"chat_template": TEMPLATE, "choice": [f"One moment.{call}"]},
    }
    if stream:
        chunks = [chunk.choices[0] for chunk in client.chat.completions.create(stream=True, **asked)]
        content = "".join(chunk.delta.content or "" for chunk in chunks)
        parts = [part for chunk in chunks for part in chunk.delta.tool_calls or ()]
        found = parts[0].function.name, json.loads("".join(part.function.arguments for part in parts))
    else:
        message = client.chat.completions.create(**asked).choices[0].message
        content = message.content
        found = message.tool_calls[0].function.name, json.loads(message.tool_calls[0].function.arguments)
    assert content.strip() == "One moment."
    assert found == ("look_up", {"word": "sea"})


@pytest.mark.parametrize(
    ("change", "param", "said"),
    [
        ({"temperature": -1}, "temperature", "at least 0"),
        ({"extra_body": {"temprature": 1}}, "temprature", "Did you mean 'temperature'"),
        ({"messages": []}, "messages", "at least 1 entry"),
        ({"messages": [{"role": "usr", "content": "x"}]}, "messages.0", "Did you mean 'user'"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"tools": [{"type": "function"}]}, "tools.0", "function"),
        ({"tools": [TOOL]}, "tools", "no place for them"),
        ({"tool_choice": "required"}, "tool_choice", "no tools"),
        ({"response_format": {"type": "xml"}}, "response_format", "json_schema"),
        ({"max_tokens": 10**9}, None, None),
        ({"store": True}, "store", "False"),
        ({"n": 2, "temperature": 0}, "n", "would all be the same"),
        ({"reasoning_effort": "low"}, "reasoning_effort", "no such variable"),
        ({"extra_body": {"parser": "nobody"}}, "parser", "accepted"),
    ],
    ids=str,
)
def test_what_is_wrong_is_400_with_its_field(client, change, param, said):
    asked = {"model": MODEL, "messages": ASKED, "max_tokens": 2, **change}
    if said is None:
        assert client.chat.completions.create(**{**asked, "stop": " "}).choices
        return
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**asked)
    assert said in caught.value.body["message"]
    assert caught.value.body["param"].startswith(param)
    assert caught.value.body["type"] == "invalid_request_error"


def test_an_unknown_model_is_404(client):
    with pytest.raises(openai.NotFoundError, match="served: smollm2"):
        client.chat.completions.create(model="gpt-5", messages=ASKED)
    assert [model.id for model in client.models.list()] == [MODEL]
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")


def test_a_prompt_that_is_too_long(client):
    with pytest.raises(openai.BadRequestError) as caught:
        client.completions.create(model=MODEL, prompt=[1] * 5000, max_tokens=1)
    assert caught.value.body["code"] == "context_length_exceeded"
