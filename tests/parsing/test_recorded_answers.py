"""The recorded answers of canitoolcall, a neutral collection: parsed whole and in pieces, each as it says.

Its pieces by tokens need the tokenizers of the models, which are not at hand; marks, which are tokens, are pieces here.
"""

import random
import re

import pytest
from canitoolcall import checks
from canitoolcall.results import Observation, ParsedToolCall, ParseResult, Status
from parsing.recorded import FAMILIES, FIXTURES, PARSERS, parser_of

from plugtron.contracts import ParsedAnswer

#: What is not as the collection has it, and why; whatever passes must not be here.
EXCEPTIONS = {
    "gemma4/vllm-text-before-call": "white space before a call stays, as in sglang-text-around-call of the same family",
}
#: Looks into schemas with a package that nothing else here needs; expected arguments are compared anyway.
LEFT_OUT = "arguments_schema"


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
