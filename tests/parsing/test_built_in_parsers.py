"""The built-in parsers: which templates each knows, and the checks that anybody's have to pass."""

import json
import time
from types import MappingProxyType

import pytest
from parsing.recorded import CLASSES, FIXTURES, parser_name, prompt_of

from plugtron.contracts import ParsedAnswer, ToolCall, parse_answer
from plugtron.testing import ParserChecks

TOOLS = ({"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}},)
#: Marks as templates have them, each put together for its parser.
MARKS = {
    "deepseek": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>{{ name }}<｜tool▁sep｜></think>",
    "deepseek_dsml": "{% set token = '｜DSML｜' %}<{{ token }}invoke></think>",
    "gemma4": "<|tool_call>call:{{ name }}<tool_call|><|channel>thought",
    "glm": "<tool_call>{{ name }}<arg_key>{{ key }}</arg_key></tool_call></think>",
    "gpt_oss": "<|start|>assistant<|channel|>analysis<|message|>",
    "hermes": '<tool_call>{"name": {{ name }}, "arguments": {{ arguments }}}</tool_call></think>',
    "kimi": "<|tool_calls_section_begin|><|tool_call_begin|>{{ id }}<|tool_call_argument_begin|></think>",
    "kimi_k3": "<|open|>message<|sep|><|open|>think<|sep|>",
    "llama3": '<|start_header_id|>user<|end_header_id|>{"name": function, "parameters": {}}',
    "llama4": "<|header_start|>user<|header_end|>[func(key=value)]",
    "mistral": "[AVAILABLE_TOOLS][/AVAILABLE_TOOLS][TOOL_CALLS][THINK]",
    "mistral_think": "<think></think>[TOOL_CALLS]",
    "qwen3_xml": "<tool_call><function={{ name }}><parameter={{ key }}></tool_call></think>",
    "think": "{{ content.split('</think>')[-1] }}",
}
OTHERS = (
    "<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>",
    "<seed:tool_call><function={{ name }}><parameter={{ key }}></seed:tool_call>",
    "<start_of_turn>model\n{{ content }}<end_of_turn>",
)


@pytest.mark.parametrize("name", CLASSES)
def test_a_template_is_known_by_one_parser(name):
    assert [other for other, made in CLASSES.items() if made.recognizes(MARKS[name])] == [name]


@pytest.mark.parametrize("template", OTHERS)
def test_other_templates_are_known_by_none(template):
    assert not [name for name, made in CLASSES.items() if made.recognizes(template)]


@pytest.mark.parametrize(
    ("name", "text", "arguments"),
    [
        ("hermes", '<tool_call>{"name": "f", "arguments": {"a": "' + "</tool_call>" * 1500 + '"}}</tool_call>', None),
        ("mistral", '[TOOL_CALLS]f[ARGS]{"a": [' + '{"b": 1},' * 3000 + "1]}", None),
        ("llama3", '{"name": "f", "parameters": {"a": [' + '{"b": 1},' * 3000 + "1]}}", None),
        ("llama4", "[f(a=[" + "[1]," * 3000 + "1])]", None),
        ("gpt_oss", "<|channel|>commentary to=functions.f<|message|>{" + '"a": [' + '{"b": 1},' * 3000 + "1]}", None),
    ],
)
def test_long_arguments_are_read_in_time(name, text, arguments):
    """In pieces of a few characters: a call is not read anew with each."""
    parser, begin, deltas = CLASSES[name](TOOLS, ""), time.process_time(), []
    for place in range(0, len(text), 4):
        deltas += parser.push(text[place : place + 4])
    answer = ParsedAnswer.of([*deltas, *parser.finish()])
    assert time.process_time() - begin < 3
    assert len(json.loads(answer.tool_calls[0].arguments)["a"]) > 3000


def test_calls_have_the_same_ids_each_time_and_others_in_another_turn():
    text = '<tool_call>{"name": "f", "arguments": {}}</tool_call>' * 2
    first, again, later = (parse_answer(CLASSES["hermes"](TOOLS, prompt), text) for prompt in ("a", "a", "b"))
    assert first == again
    assert len({call.id for call in (*first.tool_calls, *later.tool_calls)}) == 4


def test_numbers_that_no_float_holds_stay_as_they_are_written():
    text = '<tool_call>{"name": "f", "arguments": {"a": 1e400, "b": 12345678901234567890, "c": "\\ud800"}}</tool_call>'
    (call,) = parse_answer(CLASSES["hermes"](TOOLS, ""), text).tool_calls
    assert call.arguments == '{"a": 1e400, "b": 12345678901234567890, "c": "\\ud800"}'


class _Recorded(ParserChecks):
    """The recorded answers to the prompt that most of a parser's have."""

    other_templates = OTHERS


def _checks(name):
    fixtures = [each for each in FIXTURES if parser_name(each) == name and each.expected and len(each.raw_output) < 600]
    prompts = [prompt_of(each) for each in fixtures]
    prompt = max(prompts, key=prompts.count)
    chosen = [each for each in fixtures if prompt_of(each) == prompt and "vllm-text-before-call" not in each.id]
    names = {call.name for each in chosen for call in each.expected.tool_calls}
    chosen = [each for each in chosen if not {tool["function"]["name"] for tool in each.tools} - names][:12] or chosen[
        :1
    ]
    tools = {tool["function"]["name"]: tool for each in chosen for tool in each.tools}
    answers = {each.raw_output: _answer(each.expected) for each in chosen if _same_tools(each, tools)}
    return {"component": name, "prompt": prompt, "templates": (MARKS[name],), "tools": tuple(tools.values()),
            "answers": MappingProxyType(answers)}  # fmt: skip


def _same_tools(fixture, tools):
    return all(tools[tool["function"]["name"]] == tool for tool in fixture.tools)


def _answer(expected):
    calls = (ToolCall(call.name, json.dumps(call.arguments), "any") for call in expected.tool_calls)
    return ParsedAnswer(expected.content or "", expected.reasoning_content or "", tuple(calls))


for _name in sorted({parser_name(fixture) for fixture in FIXTURES}):
    _made = type(f"Test_{_name}", (_Recorded,), _checks(_name))
    globals()[_made.__name__] = pytest.mark.wide(_made)


@pytest.mark.wide
class TestThink(ParserChecks):
    component = "think"
    prompt = "<think>\n"
    templates = (MARKS["think"],)
    other_templates = OTHERS
    answers = MappingProxyType({"So.\n</think>\n\nYes.": ParsedAnswer("Yes.", "So.", ())})
