"""Input items of responses as messages that chat templates read, and blocks of an answer as output items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plugtron.errors import RequestError
from plugtron.request.request import Message
from plugtron.serve.blocks import Block, BlockKind
from plugtron.serve.call_arguments import read_arguments
from plugtron.serve.content import string_of, text_of

__all__ = ["answer_messages", "input_messages"]

_TEXT_TYPES = ("input_text", "output_text", "text", "reasoning_text", "summary_text")


def input_messages(given: str | Sequence[Mapping[str, Any]]) -> list[Message]:
    """The messages of a request's input.

    Raises:
        RequestError: an item is none, or of a kind that is not done.
    """
    if isinstance(given, str):
        return [{"role": "user", "content": given}]
    messages: list[Message] = []
    for number, item in enumerate(given):
        _add(messages, item, f"input.{number}")
    return messages


def answer_messages(blocks: Sequence[Block]) -> list[Message]:
    """An answer as the messages that a conversation goes on from."""
    messages: list[Message] = []
    for block in blocks:
        match block.kind:
            case BlockKind.TEXT:
                _answer(messages)["content"] += block.text
            case BlockKind.REASONING:
                _answer(messages)["reasoning_content"] = block.text
            case BlockKind.CALL:
                _add_call(messages, block.call_id, block.name, block.text)
    return messages


def _add(messages: list[Message], item: Mapping[str, Any], place: str) -> None:
    kind = item.get("type") or ("message" if "role" in item else None)
    match kind:
        case "message":
            role = item.get("role")
            content = text_of(item.get("content"), f"{place}.content", _TEXT_TYPES)
            if role == "assistant" and messages and messages[-1]["role"] == "assistant":
                messages[-1]["content"] += content
            else:
                messages.append({"role": "system" if role == "developer" else role, "content": content})
        case "reasoning":
            text = text_of(item.get("content") or item.get("summary") or [], f"{place}.content", _TEXT_TYPES)
            _answer(messages)["reasoning_content"] = text
        case "function_call":
            names = ("call_id", "name", "arguments")
            call_id, name, arguments = (string_of(item, each, place) for each in names)
            _add_call(messages, call_id, name, arguments)
        case "function_call_output":
            output = text_of(item.get("output"), f"{place}.output", _TEXT_TYPES)
            messages.append({"role": "tool", "tool_call_id": string_of(item, "call_id", place), "content": output})
        case _:
            known = "message, reasoning, function_call, function_call_output"
            raise RequestError(f"{place}.type: {kind!r} is not done (accepted: {known})")


def _answer(messages: list[Message]) -> Message:
    """The answer that the last items belong to."""
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": ""})
    return messages[-1]


def _add_call(messages: list[Message], call_id: str, name: str, arguments: str) -> None:
    function = {"name": name, "arguments": read_arguments(arguments)}
    call = {"id": call_id, "type": "function", "function": function}
    _answer(messages).setdefault("tool_calls", []).append(call)
