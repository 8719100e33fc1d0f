"""What a parser of answers has to keep to."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

from plugtron.contracts import AnswerDelta, ArgumentsDelta, CallBegun, ParsedAnswer, Parser, parse_answer
from plugtron.plugin.component import Kind
from plugtron.testing.checks.base import ComponentChecks, refuse
from plugtron.testing.host import Host

__all__ = ["ParserChecks"]

_TEXTS = (
    "Hello, world!",
    " two  spaces \n\n",
    "a < b, and c > d; {x: [1, 2]}",
    "日本語 🌸\n\n- naïve café",
    "x",
)
_TOOLS = ({"type": "function", "function": {"name": "look_up", "parameters": {"type": "object", "properties": {}}}},)
_OTHER_TEMPLATES = ("", "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}")
_TRIES = 30


class ParserChecks(ComponentChecks):
    """Every parser passes these.

    Attributes:
        answers: answers as models write them, with what they are, at least one of them with a call (reasoning, too,
            where there is some).
        prompt: what they go on from.
        tools: the functions on offer.
        templates: chat templates, or parts of them, with the parser's marks.
        other_templates: templates of models that are none of its own.
        plain_texts: content, and nothing else.
    """

    kind: ClassVar[Kind] = Kind.PARSER
    answers: ClassVar[Mapping[str, ParsedAnswer]]
    prompt: ClassVar[str] = ""
    tools: ClassVar[Sequence[Mapping[str, Any]]] = _TOOLS
    templates: ClassVar[Sequence[str]]
    other_templates: ClassVar[Sequence[str]] = _OTHER_TEMPLATES
    plain_texts: ClassVar[Sequence[str]] = _TEXTS

    @classmethod
    @contextmanager
    def subject(cls, host: Host, model: Callable[[str], Path]) -> Iterator[type[Parser]]:
        """The class that parsers are made of."""
        del model
        made = host.find(cls.kind, cls.component).load()
        if not isinstance(made, type) or not issubclass(made, Parser):
            refuse(f"its target is {made!r}, which is no subclass of plugtron.contracts.Parser")
        yield made

    def test_recognizes_its_templates(self, plugtron_subject: type[Parser]) -> None:
        """Templates with its marks, and no others: `auto` takes the parser that says so."""
        if not self.templates:
            refuse("templates is empty: give at least one with the parser's marks")
        for template in self.templates:
            if not plugtron_subject.recognizes(template):
                refuse(f"recognizes says no to {template[:60]!r}, which is one of its own")
        for template in self.other_templates:
            if plugtron_subject.recognizes(template):
                refuse(f"recognizes says yes to {template[:60]!r}, which is none of its own")

    def test_answers(self, plugtron_subject: type[Parser]) -> None:
        """The answers are what they are said to be; ids of calls may be any, and differ."""
        if not any(answer.tool_calls or answer.reasoning for answer in self.answers.values()):
            refuse("answers has no call and no reasoning: give at least one answer with either")
        for text, expected in self.answers.items():
            found = parse_answer(self._parser(plugtron_subject), text)
            if _without_ids(found) != _without_ids(expected):
                refuse(f"{text[:60]!r} is {_without_ids(found)}, expected was {_without_ids(expected)}")
            ids = [call.id for call in found.tool_calls]
            if len(set(ids)) < len(ids) or not all(ids):
                refuse(f"{text[:60]!r}: ids of calls are {ids}")

    def test_arguments_are_json(self, plugtron_subject: type[Parser]) -> None:
        """The arguments of a call are the text of a JSON object."""
        for text in self.answers:
            for call in parse_answer(self._parser(plugtron_subject), text).tool_calls:
                if not _is_object(call.arguments):
                    refuse(f"{text[:60]!r}: arguments of {call.name} are {call.arguments!r}, no JSON object")

    def test_streamed_equals_whole(self, plugtron_subject: type[Parser]) -> None:
        """However an answer is cut into pieces, all deltas together are the same; so it is with damaged ones."""
        for text in (*self._texts(), *self._damaged()):
            whole = parse_answer(self._parser(plugtron_subject), text)
            for pieces in (list(text), *(_cut(text, seed) for seed in range(_TRIES // 3))):
                streamed = ParsedAnswer.of(self._deltas(plugtron_subject, pieces))
                if streamed != whole:
                    refuse(f"{text[:80]!r} is {whole} whole, and {streamed} in {len(pieces)} pieces")

    def test_never_raises(self, plugtron_subject: type[Parser]) -> None:
        """Whatever a model writes, with tools or without, is no error."""
        for text in (*self._texts(), *self._damaged(), "\ud800", "{" * 5000, "[" * 5000):
            for tools in (self.tools, ()):
                try:
                    parse_answer(plugtron_subject(tools, self.prompt), text)
                except Exception as error:
                    refuse(f"{text[:60]!r} with {len(tools)} tools raises {type(error).__name__}: {error}")

    def test_plain_text_stays(self, plugtron_subject: type[Parser]) -> None:
        """Text without marks is content, every character of it."""
        for text in self.plain_texts:
            for prompt in ("", *([] if self._opens_reasoning(plugtron_subject) else [self.prompt])):
                found = parse_answer(plugtron_subject(self.tools, prompt), text)
                if found != ParsedAnswer(text, "", ()):
                    refuse(f"{text!r} is {found}, and should be content as it is")

    def test_deltas_are_in_order(self, plugtron_subject: type[Parser]) -> None:
        """Calls begin one by one, from 0 on, each before its arguments; no delta is empty text."""
        for text in self._texts():
            begun = -1
            for delta in self._deltas(plugtron_subject, list(text)):
                if isinstance(delta, CallBegun):
                    if delta.index != begun + 1 or not delta.name:
                        refuse(f"{text[:60]!r}: {delta} after call {begun}")
                    begun = delta.index
                elif isinstance(delta, ArgumentsDelta) and delta.index != begun:
                    refuse(f"{text[:60]!r}: {delta} while call {begun} is the last that has begun")
                elif not delta.text:
                    refuse(f"{text[:60]!r}: {type(delta).__name__} without text")

    def test_parsers_are_apart(self, plugtron_subject: type[Parser]) -> None:
        """Two answers at once, pieces in turns, are what each is alone."""
        first, second = (self._parser(plugtron_subject) for _ in range(2))
        text, other = next(iter(self.answers)), "Hello, world!"
        mixed: list[AnswerDelta] = []
        for index, piece in enumerate(text):
            mixed += first.push(piece)
            second.push(other[index : index + 1])
        second.finish()
        if ParsedAnswer.of([*mixed, *first.finish()]) != parse_answer(self._parser(plugtron_subject), text):
            refuse(f"{text[:60]!r} is something else while another answer is parsed")

    def _parser(self, made: type[Parser]) -> Parser:
        return made(self.tools, self.prompt)

    def _opens_reasoning(self, made: type[Parser]) -> bool:
        """Whether the prompt has opened reasoning, so that text without marks is that."""
        return bool(parse_answer(made(self.tools, self.prompt), "x").reasoning)

    def _deltas(self, made: type[Parser], pieces: Sequence[str]) -> list[AnswerDelta]:
        parser = self._parser(made)
        deltas = [delta for piece in pieces for delta in parser.push(piece)]
        return [*deltas, *parser.finish()]

    def _texts(self) -> list[str]:
        return [*self.answers, *self.plain_texts]

    def _damaged(self) -> Iterator[str]:
        """The answers with pieces cut out, doubled or swapped: what models write, too."""
        generator = random.Random(1)
        texts = list(self.answers)
        for _ in range(_TRIES):
            pieces = _cut(generator.choice(texts), generator.randrange(1000))
            chosen = [piece for piece in pieces if generator.random() > 0.15]
            if generator.random() < 0.5:
                generator.shuffle(chosen)
            yield "".join(chosen) * generator.choice((1, 1, 2))


def _cut(text: str, seed: int) -> list[str]:
    generator, pieces = random.Random(seed), list[str]()
    while text:
        size = generator.randint(1, 9)
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def _without_ids(answer: ParsedAnswer) -> tuple[str, str, list[tuple[str, object]]]:
    return answer.content, answer.reasoning, [(call.name, _loaded(call.arguments)) for call in answer.tool_calls]


def _loaded(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _is_object(arguments: str) -> bool:
    return isinstance(_loaded(arguments), dict)
