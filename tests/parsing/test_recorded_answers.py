"""The recorded answers of canitoolcall, a neutral collection: parsed whole and in pieces, each as it says.

Its pieces by tokens need the tokenizers of the models, which are not at hand; marks, which are tokens, are pieces here.
"""

import importlib
import random
import re

import pytest
from canitoolcall import checks
from canitoolcall.fixtures import load_families, load_fixtures
from canitoolcall.results import Observation, ParsedToolCall, ParseResult, Status

from plugtron.contracts import ParsedAnswer

FAMILIES = load_families()
FIXTURES = load_fixtures()
#: Which parser reads the answers of a family, by a part of the model's name where there are several.
PARSERS = {
    "qwen3-hermes": {"": "hermes:HermesParser"},
    "qwen3-xml": {"": "qwen3_xml:Qwen3XmlParser"},
    "glm": {"": "glm:GlmParser"},
    "gpt-oss": {"": "gpt_oss:GptOssParser"},
    "gemma4": {"": "gemma4:Gemma4Parser"},
    "deepseek": {
        "V3-": "deepseek:DeepseekParser",
        "V3.1": "deepseek:DeepseekParser",
        "": "deepseek_dsml:DeepseekDsmlParser",
    },
    "kimi": {"K3": "kimi_k3:KimiK3Parser", "": "kimi:KimiParser"},
    "llama": {"Llama-3": "llama3:Llama3Parser", "Llama-4": "llama4:Llama4Parser"},
    "mistral": {"Magistral-Small-2506": "mistral:TextThinkMistralParser", "": "mistral:MistralParser"},
}
#: What is not as the collection has it, and why; whatever passes must not be here.
EXCEPTIONS = {
    "gemma4/vllm-text-before-call": "white space before a call stays, as in sglang-text-around-call of the same family",
}
#: Looks into schemas with a package that nothing else here needs; expected arguments are compared anyway.
LEFT_OUT = "arguments_schema"


def parser_of(fixture):
    model, family = fixture.models[0], FAMILIES[fixture.family]
    module, _, name = next(path for part, path in PARSERS[fixture.family].items() if part in model).partition(":")
    reference = family.reference_for(model)
    prompt = fixture.generation_prompt
    prompt = (reference.default_generation_prompt or "") if prompt is None else prompt
    return getattr(importlib.import_module(f"plugtron.parsing.{module}"), name)(fixture.tools, prompt)


def parsed(fixture, pieces):
    parser = parser_of(fixture)
    deltas = [delta for piece in pieces for delta in parser.push(piece)]
    return ParsedAnswer.of([*deltas, *parser.finish()])


def is_as_recorded(fixture, answer):
    calls = tuple(ParsedToolCall(call.name, call.arguments) for call in answer.tool_calls)
    result = ParseResult(answer.content or None, answer.reasoning or None, calls)
    observed = Observation(nonstream=result, streams={})
    rows = [
        row
        for name, check in checks.ALL_CHECKS
        if name != LEFT_OUT
        for row in check(fixture, FAMILIES[fixture.family], observed)
    ]
    return checks.case_status(rows) is Status.PASS


def marks(fixture):
    pattern = "|".join(map(re.escape, sorted(FAMILIES[fixture.family].markers, key=len, reverse=True)))
    return re.split(f"({pattern})", fixture.raw_output)


def random_pieces(text, seed):
    generator, place = random.Random(seed), 0
    while place < len(text):
        size = generator.randint(1, 12)
        yield text[place : place + size]
        place += size


def cases(family):
    found = [fixture for fixture in FIXTURES if fixture.family == family]
    assert found
    return found


@pytest.mark.parametrize("family", PARSERS)
def test_answers_are_parsed_as_recorded(family):
    wrong = {each.id for each in cases(family) if not is_as_recorded(each, parsed(each, [each.raw_output]))}
    assert wrong == {name for name in EXCEPTIONS if name.startswith(f"{family}/")}


@pytest.mark.parametrize("family", PARSERS)
def test_character_by_character_is_the_same(family):
    for fixture in cases(family):
        assert parsed(fixture, fixture.raw_output) == parsed(fixture, [fixture.raw_output]), fixture.id


@pytest.mark.wide
@pytest.mark.parametrize("family", PARSERS)
def test_other_pieces_are_the_same(family):
    for fixture in cases(family):
        whole = parsed(fixture, [fixture.raw_output])
        assert parsed(fixture, marks(fixture)) == whole, fixture.id
        for seed in range(20):
            assert parsed(fixture, random_pieces(fixture.raw_output, seed)) == whole, (fixture.id, seed)


def test_every_recorded_family_has_a_parser():
    assert set(FAMILIES) == set(PARSERS)
    assert len(FIXTURES) == 469
