"""GBNF: the same answers as the Lark grammar that it becomes, and mistakes with their lines."""

import pytest

from plugtron.testing import write_model
from plugtron.tokenizer.huggingface import HuggingFaceTokenizer
from plugtron_samplers.grammar.cache import GrammarCache
from plugtron_samplers.grammar.gbnf import gbnf_to_lark
from plugtron_samplers.grammar.row import GrammarRow
from plugtron_samplers.grammar.source import source_of

#: A grammar; texts that are answers; texts that are none.
GRAMMARS = {
    "alternatives": ('root ::= "a" | "b" "c" |', ["a", "bc", ""], ["b", "ac"]),
    "lines": ('root ::=\n  x |\n  ("b"\n | "c") # or\nx ::= "a"\n', ["a", "b", "c"], ["ab"]),
    "repetitions": ('root ::= "a"* "b"+ "c"? "d"{2} "e"{1,2} "f"{0,}', ["bdde", "aabcddeeff"], ["dde", "bde"]),
    "classes": ("root ::= [a-c_] [^0-9] [\\]\\\\^-]", ["ax]", "_é\\", "b ^", "c\n-"], ["dx]", "a1]"]),
    "escapes": ('root ::= "\\x41\\u00e9\\U0001F600\\n\\"\\\\"', ['Aé😀\n"\\'], ["A"]),
    "any": ("root ::= . .", ["\n😀", "ab"], ["a", "abc"]),
    "who begins again": ('root ::= word "x"\nword ::= [a-z]+', ["abx", "xx", "axbx"], ["x", "ab"]),
    "recursion": ('root ::= "(" root ")" | my-rule\nmy-rule ::= ""', ["", "(())"], ["(", "(()"]),
    "names": ('root ::= fooBar foo_bar foo-bar\nfooBar ::= "a"\nfoo_bar ::= "b"\nfoo-bar ::= "c"', ["abc"], ["aaa"]),
}
WRONG = {
    "": "there is no rule 'root'",
    "root ::= a": "line 1: rule 'a' is not defined",
    'root ::= "a"\nroot ::= "b"': "line 2: rule 'root' is defined twice",
    'root = "a"': "line 1: ::= is expected",
    'root ::= "a': "line 1: a text is not closed",
    "root ::= [a": "line 1: a class of characters is not closed",
    "root ::= [z-a]": "line 1: z-a is no range",
    'root ::= ("a"': "line 1: a group is not closed",
    'root ::= "a" )': "line 1: a rule's name is expected",
    'root ::= "\\q"': r"line 1: \\q is no escape",
    'root ::= "\\uD800"': r"line 1: \\uD800 is no escape",
    'root ::= "\\': r"line 1: \\ is no escape",
    'root ::= "a"{x}': r"line 1: a repetition is \{m\}, \{m,\} or \{m,n\}",
    'root ::= "a"{3,1}': r"line 1: \{3,1\} is no range",
    "\n\nroot ::= <[10]>": "line 3: tokens in angle brackets are not done",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    file = write_model(tmp_path_factory.mktemp("bytes") / "model", "plain") / "tokenizer.json"
    tokenizer = HuggingFaceTokenizer.from_file(file)
    return GrammarCache(tokenizer, tokenizer.vocab_size)


def answers(cache, grammar, text, end=257):
    """Whether each token of a text is allowed after those before it, and the end at its end."""
    row = GrammarRow(cache, source_of("gbnf", grammar), (end,))
    before = []
    for token in [*cache.tokenizer.encode(text, add_special=False), end]:
        if not row.advance(before)[token >> 3] >> (token & 7) & 1:
            return False
        before = [token]
    return True


@pytest.mark.parametrize("name", GRAMMARS)
def test_answers(name, cache):
    grammar, accepted, refused = GRAMMARS[name]
    assert [text for text in accepted if not answers(cache, grammar, text)] == []
    assert [text for text in refused if answers(cache, grammar, text)] == []


@pytest.mark.parametrize("text", WRONG)
def test_mistakes(text):
    with pytest.raises(ValueError, match=f"^{WRONG[text]}"):
        gbnf_to_lark(text)
