"""An answer of a chat while it is made: content, reasoning and tool calls, through a parser where there is one."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

from plugtron.contracts.parser import AnswerDelta, ArgumentsDelta, CallBegun, ContentDelta, Parser
from plugtron.contracts.routes import Service
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.engine.special_text import SpecialText
from plugtron.request.request import InferenceRequest, RequestOutput
from plugtron.serve.call_arguments import read_written

__all__ = ["AnswerReader", "CallsReader", "ParsedReader", "PlainReader", "ToolChoice", "reader_for", "text_reader"]


class AnswerReader(ABC):
    """Turns the outputs of one sequence into what they add to an answer."""

    @abstractmethod
    def push(self, output: RequestOutput) -> Sequence[AnswerDelta]:
        """Read an output, the last one with its finish reason."""


class PlainReader(AnswerReader):
    """All text is content."""

    def push(self, output: RequestOutput) -> Sequence[AnswerDelta]:
        """Read an output."""
        return (ContentDelta(output.text),) if output.text else ()


class ParsedReader(AnswerReader):
    """A parser reads the text with its special tokens, whatever the request shows of them."""

    def __init__(self, parser: Parser, text: SpecialText) -> None:
        self._parser = parser
        self._text = text

    def push(self, output: RequestOutput) -> Sequence[AnswerDelta]:
        """Read an output."""
        sequence = output.request.sequences[output.sequence] if output.request.sequences else None
        ends = output.finish_reason is not None
        # The token that has ended the answer is no part of its text.
        cut = ends and sequence is not None and isinstance(sequence.stop_reason, int)
        tokens = output.tokens[:-1] if cut else output.tokens
        text = "".join(map(self._text.push, tokens)) + (self._text.finish() if ends else "")
        deltas = self._parser.push(text) if text else []
        return [*deltas, *self._parser.finish()] if ends else deltas


class CallsReader(AnswerReader):
    """Reads an answer that a schema has made a JSON array of calls: {"name": ..., "arguments": {...}}."""

    def __init__(self) -> None:
        self._text = ""

    def push(self, output: RequestOutput) -> Sequence[AnswerDelta]:
        """Read an output; all calls come with the last one, because an answer that is cut off has none to run."""
        self._text += output.text
        if output.finish_reason is None:
            return ()
        try:
            calls = read_written(self._text)
        except ValueError:  # cut off by max_tokens
            return (ContentDelta(self._text),)
        return [
            delta
            for index, call in enumerate(calls)
            for delta in (
                CallBegun(index, call["name"], f"call_{uuid4().hex[:24]}"),
                ArgumentsDelta(index, json.dumps(call["arguments"], ensure_ascii=False)),
            )
        ]


class ToolChoice:
    """Which calls a request insists on.

    Args:
        tools: the functions on offer, in OpenAI's form.
        names: those that may be called; a call there has to be.
        parallel: whether there may be several calls.
    """

    def __init__(self, tools: Sequence[Mapping[str, Any]], names: Sequence[str], *, parallel: bool) -> None:
        self._functions = [tool["function"] for tool in tools if tool["function"]["name"] in names]
        self._parallel = parallel

    @property
    def schema(self) -> dict[str, Any]:
        """What the answer has to be: an array of calls."""
        if len(self._functions) == 1:
            items = _call_schema(self._functions[0], "#/items")
        else:
            forms = [_call_schema(each, f"#/items/anyOf/{number}") for number, each in enumerate(self._functions)]
            items = {"anyOf": forms}
        return {"type": "array", "items": items, "minItems": 1, **({} if self._parallel else {"maxItems": 1})}


def _call_schema(function: Mapping[str, Any], place: str) -> dict[str, Any]:
    """The schema of a call; `place` is where it stands in the whole, for references inside of the parameters."""
    parameters = _moved(function.get("parameters") or {"type": "object"}, f"{place}/properties/arguments")
    return {
        "type": "object",
        "properties": {"name": {"const": function["name"]}, "arguments": parameters},
        "required": ["name", "arguments"],
        "additionalProperties": False,
    }


def _moved(schema: Any, place: str) -> Any:
    """A schema whose pointers into itself (`#/$defs/...`) are right where it stands in another."""
    if isinstance(schema, list):
        return [_moved(each, place) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: place + value[1:]
        if name == "$ref" and isinstance(value, str) and (value == "#" or value.startswith("#/"))
        else _moved(value, place)
        for name, value in schema.items()
    }


def reader_for(service: Service, request: InferenceRequest, choice: ToolChoice | None) -> AnswerReader:
    """The reader of one answer to a request that has been admitted."""
    if choice is not None:
        return CallsReader()
    return text_reader(service.parser(request), service.tokenizer, request)


def text_reader(parser: Parser | None, tokenizer: Tokenizer | None, request: InferenceRequest) -> AnswerReader:
    """The reader of one answer that is as the model writes it, through a parser where there is one."""
    if parser is None or tokenizer is None:
        return PlainReader()
    return ParsedReader(parser, SpecialText(tokenizer, request.params))
