"""Chat templates get what transformers gives them, take what callers say, and compute only so much."""

import json

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

from plugtron.errors import RequestError
from plugtron.request.chat_options import ChatOptions, template_text
from plugtron.tokenizer.chat import render_chat
from plugtron.tokenizer.huggingface import HuggingFaceTokenizer

HELLO = [{"role": "user", "content": "Hello"}]
TALK = [{"role": "system", "content": "Be <b>."}, *HELLO, {"role": "assistant", "content": "Hi é "}]
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"b": 1, "a": [2]}}}]


@pytest.fixture
def folder(tmp_path):
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(name) for name in ("<s>", "</s>", "<pad>", "<unk>", "<image>")])
    backend.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def tokenizers(folder, template, **config):
    values = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", **config}
    values["chat_template"] = template
    values["tokenizer_class"] = "PreTrainedTokenizerFast"
    (folder / "tokenizer_config.json").write_text(json.dumps(values))
    return HuggingFaceTokenizer.from_file(folder / "tokenizer.json"), AutoTokenizer.from_pretrained(folder)


@pytest.mark.parametrize(
    "template",
    [
        "{{ tools is none }}|{{ documents is none }}|{{ bos_token }}{{ eos_token }}{{ pad_token }}{{ unk_token }}",
        "{{ sep_token is defined }}{{ cls_token is defined }}{{ missing is defined }}",
        "{% for t in tools or [] %}{{ t | tojson }}{{ t | tojson(indent=2) }}{% endfor %}",
        "{{ {'b': 'é<', 'a': 1} | tojson(ensure_ascii=True, separators=(',', ':'), sort_keys=True) }}",
        "{% for m in messages %}{{ m.role }}:{{ m['content'] | trim }}{% if not loop.last %};{% endif %}{% endfor %}",
        "{% for m in messages %}{% if m.role == 'tool' %}{% continue %}{% endif %}{{ m.content }}{% endfor %}",
        "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
        "{%- set ns = namespace(n=0) -%}\n{%- for m in messages -%}\n{%- set ns.n = ns.n + m.content|length -%}"
        "\n{%- endfor -%}\n{{ ns.n }} {{ '%05.1f' % ns.n }} {{ 'a' ~ 1 ~ none }} {{ [1] * 3 }} {{ 7 // 2 ** 2 }}",
        "{% macro say(x, y=2) %}[{{ x }}{{ y }}{{ caller() if caller else '' }}]{% endmacro %}"
        "{{ say(1) }}{% call say(3, y=4) %}in{% endcall %}",
        "{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}"
        "{% for p in m.content %}<{{ p.text }}>{% endfor %}{% endif %}{% endfor %}",
        "{{ messages | map(attribute='role') | join(', ') }} "
        "{{ messages | selectattr('role', 'equalto', 'user') | list | length }} "
        "{{ 'abc'.replace('b', 'xx').upper() }} {{ '{:>5}|{}'.format('x', 123456) }}",
        "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
        "{% if add_generation_prompt %}go{% endif %}",
    ],
)
def test_templates_as_transformers_renders_them(template, folder):
    ours, theirs = tokenizers(folder, template)
    parts = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    for messages in (HELLO, TALK, *([parts] if "is string" in template else [])):
        for given in ({}, {"tools": TOOLS}, {"documents": [{"title": "t", "text": "x"}]}):
            for variables in ({}, {"enable_thinking": False}):
                options = ChatOptions(**given, chat_template_kwargs=variables)
                expected = theirs.apply_chat_template(
                    messages, tokenize=False, add_generation_prompt=True, **given, **variables
                )
                assert render_chat(ours, messages, options) == expected


def test_named_templates_and_named_tokens(folder):
    templates = [{"name": "default", "template": "plain"}, {"name": "tool_use", "template": "tools {{ image_token }}"}]
    ours, _ = tokenizers(folder, templates, extra_special_tokens={"image_token": "<image>"})
    assert render_chat(ours, HELLO) == "plain"
    assert render_chat(ours, HELLO, ChatOptions(tools=TOOLS)) == "tools <image>"
    assert render_chat(ours, HELLO, ChatOptions(chat_template="tool_use")) == "tools <image>"
    assert render_chat(ours, HELLO, ChatOptions(chat_template="own {{ messages[0].role }}")) == "own user"


def test_a_name_that_is_none_is_no_template(folder):
    ours, _ = tokenizers(folder, "{{ messages }}")
    with pytest.raises(RequestError, match=r"there is none of the name 'missing\.jinja'"):
        render_chat(ours, HELLO, ChatOptions(chat_template="missing.jinja"))


def test_a_template_in_a_file(tmp_path):
    (tmp_path / "chat.jinja").write_text("{{ messages }}")
    assert template_text("chat.jinja", folder=tmp_path) == "{{ messages }}"
    assert template_text("tool_use", ("tool_use",)) == "tool_use"
    with pytest.raises(RequestError, match=r"chat_template: none\.jinja: No such file .* or one of tool_use"):
        template_text("none.jinja", ("tool_use",))


def test_parts_reach_templates_that_read_them(folder):
    parts = [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}]
    for template in (
        "{% macro r(m) %}{% set c = m.get('content') %}{% if c is string %}{{ c }}{% else %}"
        "{% for p in c %}{{ p['text'] }}{% endfor %}{% endif %}{% endmacro %}"
        "{% for m in messages %}{{ r(m) }}{% endfor %}",
        "{% for m in messages %}{{ m.content | map(attribute='text') | join('|') }}{% endfor %}",
    ):
        ours, theirs = tokenizers(folder, template)
        assert render_chat(ours, parts) == theirs.apply_chat_template(parts, tokenize=False)


def test_reasoning_under_any_name(folder):
    template = "{% for m in messages %}{{ m.reasoning_content }}{{ m.thinking }}{% endfor %}"
    ours, theirs = tokenizers(folder, template)
    for name in ("reasoning_content", "thinking", "reasoning"):
        messages = [{"role": "assistant", "content": "yes", name: "hm"}]
        assert render_chat(ours, messages) == theirs.apply_chat_template(messages, tokenize=False) == "hmhm"


def test_long_conversations_and_odd_variables(folder):
    template = "{% for m in messages %}{% if loop.index0 < messages | length %}{{ m.content }}{% endif %}{% endfor %}"
    ours, _ = tokenizers(folder, template + "{{ source }}{{ self }}")
    text = render_chat(ours, HELLO * 20_000, ChatOptions(chat_template_kwargs={"source": "x", "self": 1}))
    assert text.startswith("Hello" * 20_000 + "x")
    for messages in ([], None, 3):
        with pytest.raises(RequestError, match="a conversation is a list of at least one message"):
            render_chat(ours, messages, ChatOptions(continue_final_message=True))


def test_the_last_message_goes_on(folder):
    template = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</{{ m.role }}>{% endfor %}"
    ours, theirs = tokenizers(folder, template + "{% if add_generation_prompt %}<assistant>{% endif %}")
    for text in ("Hi é ", "Hi", "  x"):
        messages = [*HELLO, {"role": "assistant", "content": text}]
        expected = theirs.apply_chat_template(messages, tokenize=False, continue_final_message=True)
        assert render_chat(ours, messages, ChatOptions(continue_final_message=True)) == expected
    assert render_chat(ours, HELLO, ChatOptions(add_generation_prompt=False)) == "<user>Hello</user>"
    with pytest.raises(RequestError, match="leaves the last message's text out"):
        render_chat(ours, HELLO, ChatOptions(continue_final_message=True, chat_template="{{ 1 }}"))
    with pytest.raises(ValueError, match="continue_final_message: an answer cannot begin"):
        ChatOptions(continue_final_message=True, add_generation_prompt=True)


def test_contents_that_are_no_plain_text(folder):
    ours, _ = tokenizers(folder, "{% for m in messages %}{{ m.role }}={{ m.content }};{% endfor %}")
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert render_chat(ours, [{"role": "user", "content": parts}]) == "user=a\nb;"
    assert render_chat(ours, [{"role": "assistant", "content": None, "tool_calls": []}]) == "assistant=;"
    for message, problem in (
        ({"role": "usr", "content": "x"}, r"messages\.0: role 'usr' is unknown .* Did you mean 'user'"),
        ({"content": "x"}, r"messages\.0: role is required"),
        ({"role": "user"}, r"messages\.0: content is required"),
        ({"role": "user", "content": 3}, r"messages\.0: content must be a text"),
        ({"role": "user", "content": [{"type": "image"}]}, r"content may have parts \{type: text, text: ...\} only"),
    ):
        with pytest.raises(RequestError, match=problem):
            render_chat(ours, [message])


BOMBS = {
    "nested loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "filtered loops": "{% for a in range(99999) %}{% for b in range(99999) if false %}{% endfor %}{% endfor %}",
    "a long text": "{{ 'x' * 3000000000 }}",
    "a long list": "{{ ([0] * 3000000000) | length }}",
    "a large number": "{{ 7 ** 9999999 }}",
    "doubling": "{% set ns = namespace(s='x') %}{% for i in range(99) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}",
    "doubling by +": "{% set ns = namespace(s=[1]) %}{% for i in range(99) %}{% set ns.s = ns.s + ns.s %}{% endfor %}",
    "lipsum": "{{ lipsum(n=10000000) }}",
    "widths": "{{ '%999999999d' % 1 }}",
    "widths by *": "{{ '%*d' % (999999999, 1) }}",
    "widths of format": "{{ '{:>999999999}'.format(1) }}",
    "nested widths": "{{ '{:>{w}}'.format(1, w=999999999) }}",
    "padding": "{{ 'x'.ljust(999999999) }}",
    "a filter's padding": "{{ 'x' | center(999999999) }}",
    "replacing": "{% set s = 'a' * 1000000 %}{{ s.replace('a', s) }}",
    "a filter's replacing": "{% set s = 'a' * 1000000 %}{{ [s] | map('replace', 'a', s) | list }}",
    "joining": "{% set s = 'a' * 1000000 %}{{ range(99999) | list | join(s) }}",
    "macros": "{% macro f(n) %}{% if n %}{{ f(n-1) }}{{ f(n-1) }}{% endif %}{% endmacro %}{{ f(100) }}",
    "recursion": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "output": "{% for i in range(99999) %}{{ 'x' * 10000 }}{% endfor %}",
    "set": "{% set x %}{% for a in range(9999) %}{% for b in range(999) %}x{% endfor %}{% endfor %}{% endset %}",
    "lists": "{% set n = namespace(l=[]) %}{% for i in range(9999) %}{% set n.l = n.l + ['x' * 999999] %}{% endfor %}",
    "filters over lists": "{% for i in range(99999) %}{% set x = range(99999) | sort | list %}{% endfor %}",
    "batches": "{{ range(99999) | batch(99999999, 'x') | list }}",
    "nesting": "{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}",
    "the clock": "{% set s = 'a' * 9000000 %}{% for i in range(99999) %}{{ 'b' in s }}{% endfor %}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_template_computes_only_so_much(name, folder):
    ours, _ = tokenizers(folder, "{{ messages }}")
    with pytest.raises(RequestError, match="the chat template refuses these messages"):
        render_chat(ours, HELLO, ChatOptions(chat_template=BOMBS[name]))
