"""Grammars that explode: refused with a reason within bounded time, before or while an answer is generated."""

import time

import pytest
from pydantic import ValidationError

from plugtron.testing import write_model
from plugtron.tokenizer.huggingface import HuggingFaceTokenizer
from plugtron_samplers.grammar.cache import GrammarCache
from plugtron_samplers.grammar.library import GrammarError
from plugtron_samplers.grammar.params import GrammarParams
from plugtron_samplers.grammar.row import GrammarRow
from plugtron_samplers.grammar.source import sources_in

TEXT = {"type": "string"}
#: Seconds that this may take on a busy machine.
PATIENCE = 20


def chain(count, link):
    """Definitions that each refer to the next."""
    links = {f"d{at}": link(f"#/$defs/d{at + 1}") for at in range(count)}
    return {"json_schema": {"$defs": {**links, f"d{count}": TEXT}, "$ref": "#/$defs/d0"}}


def nested(count, inner):
    for _ in range(count):
        inner = {"items": inner}
    return inner


def rules(count, name="r"):
    return "\n".join(f'{name}{at}: "a" {name}{at + 1}' for at in range(count)) + f'\n{name}{count}: "x"'


EXPLODES = {
    "a schema of a megabyte": {"json_schema": {"enum": ["x" * 1000] * 1000}},
    "a deep schema": {"json_schema": nested(500, TEXT)},
    "a deep text": {"json_schema": '{"items":' * 20000 + "{}" + "}" * 20000},
    "long chains": chain(4000, lambda to: {"$ref": to}),
    "many deep ones": chain(400, lambda to: nested(50, {"$ref": to})),
    "many names": {"json_schema": {"properties": {f"p{at}": TEXT for at in range(6000)}}},
    "many ways": {
        "json_schema": {"allOf": [{"anyOf": [{"required": [f"{a}{b}"]} for b in "abcd"]} for a in range(12)]}
    },
    "large multiples": {"json_schema": {"type": "integer", "multipleOf": 999999937}},
    "deep groups": {"regex": "(" * 5000 + "a" + ")" * 5000},
    "repeated repetitions": {"regex": "((a{1000}){1000}){1000}"},
    "a long regex": {"regex": "a" * 250000},
    "a long one": {"regex": "a" * 300000},
    "many rules": {"grammar": f"start: r0\n{rules(5000)}"},
    "deep groups of rules": {"grammar": "start: " + "(" * 1900 + '"a"' + ")" * 1900},
    "repeated rules": {"grammar": 'start: a{1000}\na: b{1000}\nb: c{1000}\nc: "x"'},
    "a rule of itself": {"grammar": "start: start"},
    "deep groups of GBNF": {"gbnf": "root ::= " + "(" * 60 + '"a"' + ")" * 60},
}
#: Deep for the library's stack of calls, and within what is accepted.
DEEP = {
    "deep": chain(150, lambda to: nested(20, {"$ref": to})),
    "chains": chain(2400, lambda to: {"$ref": to}),
    "unions": chain(1600, lambda to: {"anyOf": [{"$ref": to}, TEXT]}),
    "rules": {"grammar": f"start: r0\n{rules(3990)}"},
    "terminals": {"grammar": f"start: T0\n{rules(3990, 'T')}"},
    "properties": {"json_schema": {"properties": {f"p{at}": TEXT for at in range(2000)}}},
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    file = write_model(tmp_path_factory.mktemp("bytes") / "model", "plain") / "tokenizer.json"
    tokenizer = HuggingFaceTokenizer.from_file(file)
    return GrammarCache(tokenizer, tokenizer.vocab_size)


def start(cache, params):
    """The mask of the first token, as a request comes to it."""
    GrammarParams(**params)
    (source,) = sources_in(params)
    cache.get(source).result()
    return GrammarRow(cache, source, (257,)).advance([])


@pytest.mark.parametrize("name", EXPLODES)
def test_what_explodes_is_refused(name, cache):
    began = time.perf_counter()
    with pytest.raises((ValidationError, GrammarError)):
        start(cache, EXPLODES[name])
    assert time.perf_counter() - began < PATIENCE


@pytest.mark.parametrize("name", DEEP)
def test_what_is_deep_is_compiled(name, cache):
    assert any(start(cache, DEEP[name]))


def test_what_explodes_later_fails_its_own_row(cache):
    """A class of letters repeated within repetitions: each token of an answer doubles what the lexer has to follow."""
    source = sources_in({"regex": r"(\w{1,100}\p{L}{1,100}){1,100}"})[0]
    cache.get(source).result()
    row, other = GrammarRow(cache, source, (257,)), GrammarRow(cache, sources_in({"regex": "x+"})[0], (257,))
    with pytest.raises(GrammarError, match=r"^regex: cannot go on: "):
        for _ in range(300):
            row.advance([ord("x") - 33])
    assert other.advance([])
