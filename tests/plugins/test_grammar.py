"""Answers of a form: what is asked for is what comes, whatever is drawn and whoever is beside it."""

import json
import re
import subprocess
import sys

import pytest
import yaml
from support.commands import plugtron
from support.schemas import random_schemas, validate

from plugtron import LLM
from plugtron.testing import write_model
from plugtron_samplers.grammar.source import source_of

#: Three and more of everything that can come, at temperature 1.
DRAWN = {"temperature": 1.0, "max_tokens": 60}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "maximum": 120}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
GBNF = r"""
root   ::= greeting ("," " "? name){1,2} mark  # a comment
greeting ::= "hi" | "good " [a-z-]{3,5}
name   ::= [A-Z] [^\x00-\x60\x7B-\U0010FFFF]*
mark   ::= "." | "!" mark?
"""
LARK = """
start: greeting ", " NAME /[.!]/
greeting: "hi" | "good " /[a-z]{3,5}/
NAME: /[A-Z][a-z]{0,5}/
"""


def matches(pattern):
    return lambda text: re.fullmatch(pattern, text)


def is_json(schema):
    return lambda text: validate(text, schema) is None


FORMS = {
    "regex": ({"regex": r"[A-Z][a-z]{2,8}: \d{4}-\d{2}"}, matches(r"[A-Z][a-z]{2,8}: \d{4}-\d{2}")),
    "regex of bytes": ({"regex": "[→é日]{2,3}"}, matches("[→é日]{2,3}")),
    "choice": ({"choice": ["red", "red green", '"quoted"\n', "日本"]}, matches('red|red green|"quoted"\n|日本')),
    "schema": ({"json_schema": PERSON}, is_json(PERSON)),
    "lark": ({"grammar": LARK}, matches(r"(hi|good [a-z]{3,5}), [A-Z][a-z]{0,5}[.!]")),
    "gbnf": ({"gbnf": GBNF}, matches(r"(hi|good [a-z-]{3,5})(, ?[A-Z][a-z]*){1,2}(\.|!+\.?)")),
}


@pytest.mark.parametrize("name", FORMS)
def test_answers_are_of_their_form(name, llm):
    params, holds = FORMS[name]
    requests = llm.generate(["Hello"] * 3, [{**DRAWN, **params, "seed": seed} for seed in range(3)])
    for request in requests:
        assert request.error is None
        assert request.finish_reason == "length" or holds(request.text), request.text
    assert any(request.finish_reason == "stop" for request in requests)


def test_forms_of_schemas():
    """A schema as text, and in OpenAI's form, is the schema."""
    plain = source_of("json_schema", PERSON)
    inner = {"name": "person", "description": "one", "strict": True, "schema": PERSON}
    openai = source_of("response_format", {"type": "json_schema", "json_schema": inner})
    assert source_of("json_schema", json.dumps(PERSON, indent=1)) == plain
    assert openai == plain._replace(parameter="response_format")


def test_any_json_object(llm):
    requests = llm.generate(
        ["JSON:"] * 4, [{**DRAWN, "response_format": {"type": "json_object"}, "seed": seed} for seed in range(4)]
    )
    ended = [request.text for request in requests if request.finish_reason == "stop"]
    assert ended
    assert all(isinstance(json.loads(text), dict) for text in ended)


def check_schemas(llm, schemas, longest):
    """Have the model answer to each, and hold what has ended against it."""
    drawn = {**DRAWN, "max_tokens": longest}
    params = [{**drawn, "json_schema": schema, "seed": 11 + at} for at, schema in enumerate(schemas)]
    requests = llm.generate(["Here is the data as JSON:"] * len(schemas), params)
    ended = 0
    for request, schema in zip(requests, schemas, strict=True):
        assert request.error is None, (schema, request.error)
        if request.finish_reason == "stop":
            ended += 1
            validate(request.text, schema)
    return ended


def test_schemas(llm):
    assert check_schemas(llm, random_schemas(10), 60) >= 5


@pytest.mark.wide
def test_many_schemas(default_model):
    with LLM(default_model, engine="dynamic", overrides={"engine.options.max_batch_size": 16}) as llm:
        assert check_schemas(llm, random_schemas(500, seed=1), 200) >= 400


REFUSED = {
    "no pattern": ({"regex": "("}, r"^regex: cannot be compiled: .*unclosed group"),
    "look-around": ({"regex": "(?=a)b"}, r"^regex: cannot be compiled: .*look-around"),
    "empty": ({"regex": ""}, "^regex: must not be empty"),
    "no text": ({"regex": 3}, "^regex: must be a text"),
    "no choices": ({"choice": []}, "^choice: must have at least 1 entry"),
    "an empty choice": ({"choice": ["a", ""]}, r"^choice\.1: must not be empty"),
    "half a pair": ({"choice": ["\ud800"]}, "^choice"),
    "two": ({"regex": "a", "choice": ["a"]}, "^choice: stands beside regex"),
    "two again": ({"json_schema": {}, "response_format": {"type": "json_object"}}, "^json_schema: stands beside"),
    "no schema": ({"json_schema": [1]}, "^json_schema: "),
    "no JSON": ({"json_schema": "{a}"}, "^json_schema: is no JSON"),
    "no number": ({"json_schema": '{"minimum": NaN}'}, "^json_schema: is no JSON: NaN"),
    "no data": ({"json_schema": {"enum": [{1, 2}]}}, "^json_schema: is no JSON: .*set"),
    "no type": ({"json_schema": {"type": "objekt"}}, "^json_schema: cannot be compiled: Invalid type: objekt"),
    "not done": ({"json_schema": {"not": {}}}, '^json_schema: cannot be compiled: .*"not"'),
    "not done, though asked": (
        {"json_schema": {"x-guidance": {"lenient": True}, "not": {}}},
        '^json_schema: cannot be compiled: .*"not"',
    ),
    "elsewhere": ({"json_schema": {"$ref": "http://a.b/c"}}, "^json_schema: cannot be compiled: .*http://a.b/c"),
    "nothing fits": ({"json_schema": {"type": "integer", "minimum": 3, "maximum": 2}}, "^json_schema: .*nsatisfiable"),
    "zero": (
        {"json_schema": {"items": {"exclusiveMinimum": 0, "maximum": 0.5}}},
        "^json_schema: exclusiveMinimum 0 beside maximum 0.5 is not done",
    ),
    "names twice": ({"json_schema": {"minProperties": 2}}, "^json_schema: minProperties 2 is not done"),
    "rounded": ({"json_schema": {"enum": [2**53 + 1]}}, "^json_schema: 9007199254740993 would be rounded"),
    "endless": ({"json_schema": {"$ref": "#"}}, "^json_schema: cannot be compiled"),
    "no kind": ({"response_format": {"type": "xml"}}, "^response_format: type must be 'text', 'json_object' or"),
    "schema missing": ({"response_format": {"type": "json_schema"}}, "^response_format: json_schema must be a mapping"),
    "beside": ({"response_format": {"type": "json_object", "schema": {}}}, "^response_format: .* has no 'schema'"),
    "lark": ({"grammar": "start: b"}, "^grammar: cannot be compiled: .*b"),
    "lark's temperature": ({"grammar": "start: b\nb[temperature=0.5]: /x/"}, "^grammar: temperature= "),
    "gbnf's rule": ({"gbnf": "root ::= b"}, "^gbnf: line 1: rule 'b' is not defined"),
    "gbnf's root": ({"gbnf": 'b ::= "x"'}, "^gbnf: there is no rule 'root'"),
    "no end": ({"regex": "a", "ignore_eos": True}, "^regex: ignore_eos leaves no token"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name, llm):
    params, complaint = REFUSED[name]
    request = llm.generate("Hello", {**DRAWN, **params})
    assert request.finish_reason == "error"
    assert re.search(complaint, request.error), request.error


def test_a_spec_is_told_where(tmp_path):
    spec = {
        "version": 1,
        "model": {"checkpoint": "smollm2-135m-instruct"},
        "sampling": {"json_schema": {"type": "objekt"}},
        "prompts": [{"text": "a", "sampling": {"regex": "(", "choice": ["b"]}}],
    }
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(spec))
    said = plugtron("check", file, timeout=60).stderr
    assert "sampling.json_schema: cannot be compiled: Invalid type: objekt" in said
    assert "prompts.0.sampling.regex: cannot be compiled" in said


def test_what_is_complete_ends(llm):
    """After the last token that can come, an end alone can; so it does where a request has ends of its own."""
    request = llm.generate("Hello", {**DRAWN, "regex": "abc"})
    assert (request.text, request.finish_reason) == ("abc", "stop")
    assert request.tokens[-1] in llm.tokenizer.eos_ids
    (own,) = llm.tokenizer.encode("!", add_special=False)
    request = llm.generate("Hello", {**DRAWN, "regex": "abc", "ignore_eos": True, "stop_token_ids": [own]})
    assert (request.finish_reason, request.stop_reason, request.tokens[-1]) == ("stop", own, own)
    request = llm.generate("Hello", {**DRAWN, "regex": "a{50}", "max_tokens": 3})
    assert request.finish_reason == "length"


def test_plain_text_asks_for_nothing(llm):
    plain = {**DRAWN, "seed": 5, "max_tokens": 8}
    asked = llm.generate("Hello", {**plain, "response_format": {"type": "text"}})
    assert asked.tokens == llm.generate("Hello", plain).tokens


#: Of all forms, of none, and with another stage of the chain.
MIXED = [
    *({**DRAWN, **form, "seed": 3} for form, _ in FORMS.values()),
    {**DRAWN, "seed": 3},
    {**DRAWN, "regex": "(good|bad) [a-z]{30}", "top_k": 5, "seed": 4},
]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A model whose tokens are bytes, and its answers one at a time."""
    folder = write_model(tmp_path_factory.mktemp("bytes") / "model", "padded")
    with LLM(folder, dtype="float32") as llm:
        return folder, [llm.generate("Hello", each).tokens for each in MIXED]


@pytest.mark.parametrize(("engine", "ahead"), [("static", False), ("dynamic", False), ("dynamic", True)])
def test_rows_do_not_see_each_other(engine, ahead, alone):
    """Each answer of a mixed batch is the one that it is alone, also where sequences are computed again."""
    small = {"max_sequence_length": 68, "blocks": 24, "block_size": 4, "async_scheduling": ahead}
    overrides = {f"engine.options.{name}": value for name, value in small.items()} if engine == "dynamic" else {}
    with LLM(alone[0], dtype="float32", engine=engine, overrides=overrides) as llm:
        found = llm.generate(["Hello"] * len(MIXED), MIXED)
    assert [request.tokens for request in found] == alone[1]
    assert engine == "static" or sum(request.preemptions for request in found) > 0


@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_guesses_change_no_token(engine, alone):
    """Where several positions of a row are drawn in one step, each has the mask that follows from those before it."""
    prompts = ["abc" * 6, "Hello", "xyxyxyxy"]
    params = [{**DRAWN, "regex": "(abc){12}[d-z]"}, MIXED[0], {"temperature": 0, "regex": "(x|y){30}"}]
    found = []
    for controller in ("text_generation", {"name": "speculative", "options": {"max_rows": 64}}):
        with LLM(alone[0], dtype="float32", seed=3, engine=engine, overrides={"controller": controller}) as llm:
            requests = llm.generate(prompts, params)
            found.append([(request.text, request.finish_reason, request.error) for request in requests])
    assert found[0] == found[1]
    assert sum(request.sequences[0].accepted_tokens for request in requests) > 0


def test_greedy_and_several_answers(llm):
    choice = {"choice": ["yes", "no", "perhaps"]}
    assert llm.generate("Is the sky blue?", {"temperature": 0, **choice}).text in choice["choice"]
    request = llm.generate("Is the sky blue?", {**DRAWN, **choice, "n": 3, "logprobs": 2})
    assert {sequence.text for sequence in request.sequences} <= set(choice["choice"])


@pytest.mark.wide
@pytest.mark.parametrize("shape", [{"tensor_parallel": 2}, {"pipeline_parallel": 2}], ids=str)
@pytest.mark.parametrize("engine", ["static", "dynamic"])
def test_over_ranks(engine, shape, alone):
    with LLM(alone[0], dtype="float32", engine=engine, **shape) as llm:
        found = llm.generate(["Hello"] * (len(MIXED) + 1), [*MIXED, {"json_schema": {"type": "objekt"}}])
    assert [request.tokens for request in found[:-1]] == alone[1]
    assert "Invalid type: objekt" in found[-1].error


def test_no_tokenizer(small):
    assert small.generate([1, 2], {"regex": "a"}).error == "regex: this checkpoint has no tokenizer"


def test_a_padded_vocabulary(tmp_path):
    """Ids behind the tokenizer's are never drawn, nor those that the model does not have."""
    for shape in ("padded", "narrow"):
        with LLM(write_model(tmp_path / shape, shape), dtype="float32") as llm:
            request = llm.generate("a", {**DRAWN, "regex": "(.|\n){8}"})
            assert request.error is None
            assert len(request.text) == 8


PROBE = """
import sys, threading
from plugtron import LLM
with LLM({folder!r}, dtype="float32") as llm:
    {block}
    request = llm.generate("a", {params!r})
print(request.error, "llguidance" in sys.modules, sum("grammar" in thread.name for thread in threading.enumerate()))
"""


@pytest.mark.parametrize(
    ("params", "block", "said"),
    [
        ({"max_tokens": 2}, "", "None False 0"),
        (
            {"regex": "a"},
            "sys.modules['llguidance'] = None",
            "regex: needs the llguidance library: pip install 'plugtron[grammar]' "
            "(import of llguidance halted; None in sys.modules) True 0",
        ),
    ],
)
def test_the_library_is_for_who_asks(params, block, said, tmp_path):
    code = PROBE.format(folder=str(write_model(tmp_path / "model", "plain")), block=block, params=params)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == said
