"""From a chat with tools to a message with calls: in Python, streamed, and from the command line."""

import json
from pathlib import Path

import pytest
from support import commands

from plugtron import InferenceRequest, SamplingParams, assemble
from plugtron.contracts import ParsedAnswer
from plugtron.errors import RequestError
from plugtron.plugin.manager import PluginManager
from plugtron.request import ChatOptions
from plugtron.spec.load import Source
from plugtron.spec.resolution import resolve
from plugtron.testing import write_model

FORCED = Path(__file__).parents[1] / "support" / "forced_answers.py"
TOOLS = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
TEMPLATE = (
    "{% if tools %}{{ tools | tojson }}[TOOL_CALLS][THINK]{% endif %}"
    "{% for m in messages %}{{ m.role }}: {{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }} {{ c.function.arguments.a }}{% endfor %}{% endfor %}"
)
ANSWER = '[THINK]Two.[/THINK]Yes.[TOOL_CALLS]add[ARGS]{"a": 1, "b": "é"}'
BROKEN = """
from plugtron import Component, hookimpl
from plugtron.parsing import MarkedParser


@hookimpl
def plugtron_parsers():
    return [Component(name="acme_broken", target="acme_broken:Broken")]


class Broken(MarkedParser):
    @classmethod
    def recognizes(cls, template):
        return False

    def read_call(self, text, *, ended):
        return None

    def finish(self):
        return 1 / 0
"""
MESSAGES = [{"role": "user", "content": "1 + 2?"}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model whose marks are special tokens, as Mistral's are."""
    folder = write_model(tmp_path_factory.mktemp("model"), "plain")
    file = folder / "tokenizer.json"
    marks = {"<user>": "[TOOL_CALLS]", "<assistant>": "[THINK]"}
    text = file.read_text()
    for written, mark in marks.items():
        text = text.replace(written, mark)
    file.write_text(text)
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    return folder


@pytest.fixture(scope="module")
def session(folder):
    values = {
        "version": 1,
        "model": {"checkpoint": str(folder), "dtype": "float32"},
        "execution": "eager",
        "samplers": ["default", "forced_answer"],
    }
    manager = PluginManager(files=[FORCED], builtins_only=True)
    with assemble(resolve(Source(values=values), manager), manager=manager) as session:
        yield session


def asked(session, answer=ANSWER, *, params=None, messages=MESSAGES, **chat):
    params = SamplingParams.from_flat({"temperature": 0, "max_tokens": 150, "forced_answer": answer, **(params or {})})
    request = InferenceRequest(prompt=messages, params=params, chat=ChatOptions(**chat))
    outputs = list(session.run([request]))
    assert request.error is None
    return request, outputs


def test_special_tokens_are_parsed_though_the_text_has_none(session):
    request, _ = asked(session, tools=TOOLS)
    assert "[TOOL_CALLS]" not in request.text
    answer = session.parse(request)
    assert (answer.content, answer.reasoning) == ("Yes.", "Two.")
    assert [(call.name, call.arguments) for call in answer.tool_calls] == [("add", '{"a": 1, "b": "é"}')]
    assert len(answer.tool_calls[0].id) == 9


def test_a_stream_is_parsed_as_it_comes(session):
    request, outputs = asked(session, tools=TOOLS, params={"skip_special_tokens": False})
    parser = session.parser(request)
    deltas = [delta for output in outputs for delta in parser.push(output.text)]
    assert len(deltas) > 5
    assert ParsedAnswer.of([*deltas, *parser.finish()]) == session.parse(request)


def test_what_ends_an_answer_is_no_part_of_it(session):
    request, _ = asked(session, "a STOP b", params={"stop": ["STOP"]}, parser="mistral")
    assert session.parse(request).content == "a "
    request, _ = asked(session, "a STOP b", params={"stop": ["STOP"], "min_tokens": 7}, parser="mistral")
    assert session.parse(request).content == "a STOP b"


def test_a_message_goes_back_into_the_conversation(session):
    request, _ = asked(session, tools=TOOLS)
    message = session.message(request)
    call = message["tool_calls"][0]
    assert call["function"] == {"name": "add", "arguments": {"a": 1, "b": "é"}}
    assert message["reasoning"] == "Two."
    more = [*MESSAGES, message, {"role": "tool", "content": "3"}]
    request, _ = asked(session, "3.", messages=more, tools=TOOLS)
    assert "assistant: Yes.add 1tool: 3" in session.parts.tokenizer.decode(request.prompt_tokens)


@pytest.mark.parametrize(
    ("chat", "has_message"),
    [
        ({}, False),
        ({"parser": "none", "tools": TOOLS}, False),
        ({"parser": "auto"}, True),
        ({"parser": "mistral"}, True),
        ({"tools": TOOLS}, True),
        ({"tools": TOOLS, "chat_template": "{{ tools }}{{ messages[0].content }}"}, False),
    ],
)
def test_who_asks_gets_a_message(chat, has_message, session):
    request, _ = asked(session, "so", **chat)
    assert (session.message(request) is not None) == has_message


def test_without_tools_calls_are_text_and_reasoning_is_not(session):
    request, _ = asked(session, parser="auto")
    answer = session.parse(request)
    assert (answer.reasoning, answer.tool_calls) == ("Two.", ())
    assert answer.content == ANSWER.partition("[/THINK]")[2]


def test_without_a_parser_all_is_content(session):
    request, _ = asked(session, tools=TOOLS, parser="none")
    assert session.parse(request) == ParsedAnswer(request.text, "", ())


def test_a_failed_request_has_no_answer(session):
    request = InferenceRequest(prompt=MESSAGES, chat=ChatOptions(tools=TOOLS, chat_template="{{ messages }}"))
    list(session.run([request]))
    assert request.error.startswith("tools: this chat template has no place for them")
    with pytest.raises(RequestError, match="there is no answer to parse: tools: this chat template"):
        session.parse(request)


def test_llm_says_what_it_accepts(llm):
    with pytest.raises(RequestError, match=r"no parser 'hermse' \(installed: deepseek, .*Did you mean 'hermes'"):
        llm.chat(MESSAGES, parser="hermse")
    request = llm.chat(MESSAGES, {"max_tokens": 4, "temperature": 0}, parser="auto")
    assert llm.parse(request) == ParsedAnswer(request.text, "", ())


@pytest.fixture
def spec(folder, tmp_path):
    def write(**values):
        data = {
            "version": 1,
            "model": {"checkpoint": str(folder), "dtype": "float32"},
            "samplers": ["default", "forced_answer"],
            "sampling": {"temperature": 0, "max_tokens": 150, "forced_answer": ANSWER},
            **values,
        }
        (tmp_path / "spec.json").write_text(json.dumps(data))
        return tmp_path / "spec.json"

    return write


def plugtron(verb, *arguments, plugins=(FORCED,)):
    files = [word for file in plugins for word in ("--plugin", str(file))]
    return commands.plugtron(verb, *arguments, *files, timeout=300)


def test_results_have_messages(spec, tmp_path):
    prompts = tmp_path / "prompts.jsonl"
    lines = [{"messages": MESSAGES, "tools": TOOLS}, {"messages": MESSAGES}, {"messages": MESSAGES, "parser": "x"}]
    prompts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = plugtron("run", spec(prompts={"file": str(prompts)}))
    called, plain, wrong = map(json.loads, done.stdout.splitlines())
    assert called["message"]["tool_calls"][0]["function"]["name"] == "add"
    assert "message" not in plain
    assert wrong["error"].startswith("parser: no parser 'x' (installed: deepseek")


def test_a_parser_that_raises_costs_its_request_alone(spec, tmp_path):
    broken = tmp_path / "acme_broken.py"
    broken.write_text(BROKEN)
    prompts = [{"messages": MESSAGES, "parser": name} for name in ("acme_broken", "mistral")]
    done = plugtron("run", spec(prompts=prompts), plugins=(FORCED, broken))
    failed, fine = map(json.loads, done.stdout.splitlines())
    assert failed["error"].startswith("parser 'acme_broken' (")
    assert failed["error"].endswith("fails: ZeroDivisionError: division by zero")
    assert fine["message"]["reasoning"] == "Two."
    assert "1 of 2 requests failed" in done.stderr


def test_a_check_names_the_parsers(spec):
    done = plugtron("check", spec(parser="hermse", prompts=[{"messages": MESSAGES, "parser": "mistrl"}]))
    assert done.returncode == 2
    assert "parser: no parser 'hermse' (installed: deepseek, " in done.stderr
    assert "prompts.0.parser: no parser 'mistrl'" in done.stderr
    assert plugtron("check", spec(parser="qwen25", prompts=[{"messages": MESSAGES}])).returncode == 0
