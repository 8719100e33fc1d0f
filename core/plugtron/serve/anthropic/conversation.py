"""Anthropic's messages as chat templates read them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from plugtron.errors import RequestError
from plugtron.request.request import Message
from plugtron.serve.anthropic.fields import AnthropicTool, CountBody
from plugtron.serve.content import string_of, text_of

__all__ = ["conversation", "tools_of"]

_TEXT = ("text",)


def conversation(body: CountBody) -> list[Message]:
    """The messages, the system's first.

    Raises:
        RequestError: a message or a block is none, or of a kind that is not done.
    """
    messages: list[Message] = []
    if body.system:
        messages.append({"role": "system", "content": text_of(body.system, "system", _TEXT)})
    for number, message in enumerate(body.messages):
        place = f"messages.{number}"
        role, content = message.get("role"), message.get("content")
        if role not in ("user", "assistant"):
            raise RequestError(f"{place}.role: must be user or assistant (got {role!r})")
        if isinstance(content, str):
            messages.append({"role": role, "content": content})
        elif isinstance(content, list) and content:
            blocks = _blocks(content, f"{place}.content")
            messages += _answer(blocks, place) if role == "assistant" else _question(blocks, place)
        else:
            raise RequestError(f"{place}.content: must be a text or a list of blocks")
    return messages


def tools_of(tools: Sequence[AnthropicTool]) -> list[dict[str, Any]]:
    """Tools in the form of chat templates."""
    return [
        {
            "type": "function",
            "function": {"name": tool.name, "description": tool.description or "", "parameters": tool.input_schema},
        }
        for tool in tools
    ]


def _blocks(content: Sequence[Any], place: str) -> list[tuple[str, Mapping[str, Any]]]:
    for number, block in enumerate(content):
        if not isinstance(block, dict) or not isinstance(block.get("type"), str):
            raise RequestError(f"{place}.{number}: must be a block such as {{type: text, text: ...}}")
    return [(f"{place}.{number}", block) for number, block in enumerate(content)]


def _question(blocks: Sequence[tuple[str, Mapping[str, Any]]], place: str) -> Iterator[Message]:
    """What the user says: results of tools are messages of their own, before the text."""
    del place
    texts = []
    for where, block in blocks:
        match block["type"]:
            case "text":
                texts.append(string_of(block, "text", where))
            case "tool_result":
                content = block.get("content")
                yield {
                    "role": "tool",
                    "tool_call_id": string_of(block, "tool_use_id", where),
                    "content": "" if content is None else text_of(content, f"{where}.content", _TEXT),
                }
            case kind:
                raise RequestError(f"{where}.type: {kind!r} is not done (accepted: text, tool_result)")
    if texts:
        yield {"role": "user", "content": "\n".join(texts)}


def _answer(blocks: Sequence[tuple[str, Mapping[str, Any]]], place: str) -> Iterator[Message]:
    del place
    texts, reasoning, calls = list[str](), list[str](), list[dict[str, Any]]()
    for where, block in blocks:
        match block["type"]:
            case "text":
                texts.append(string_of(block, "text", where))
            case "thinking":
                reasoning.append(string_of(block, "thinking", where))
            case "redacted_thinking":
                continue  # which another model has written, and nobody here can read
            case "tool_use":
                function = {"name": string_of(block, "name", where), "arguments": block.get("input") or {}}
                calls.append({"id": string_of(block, "id", where), "type": "function", "function": function})
            case kind:
                raise RequestError(f"{where}.type: {kind!r} is not done (accepted: text, thinking, tool_use)")
    message: Message = {"role": "assistant", "content": "".join(texts)}
    if reasoning:
        message["reasoning_content"] = "".join(reasoning)
    if calls:
        message["tool_calls"] = calls
    yield message
