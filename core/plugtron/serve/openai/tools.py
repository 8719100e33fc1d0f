"""Tools of a chat: what is on offer, and which calls a request insists on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from plugtron.errors import RequestError
from plugtron.serve.answer_reader import ToolChoice
from plugtron.serve.call_arguments import read_arguments
from plugtron.serve.openai.fields import ChatBody

__all__ = ["check_tools", "insisted", "with_argument_objects"]


def check_tools(tools: Sequence[Any], place: str = "tools") -> list[str]:
    """Return the names of functions on offer, in OpenAI's form.

    Raises:
        RequestError: one is none.
    """
    names = []
    for number, tool in enumerate(tools):
        function = tool.get("function") if isinstance(tool, dict) else None
        if not isinstance(function, dict) or tool.get("type", "function") != "function":
            raise RequestError(
                f"{place}.{number}: must be {{type: function, function: {{name: ..., parameters: ...}}}}"
            )
        name, parameters = function.get("name"), function.get("parameters")
        if not isinstance(name, str) or not name:
            raise RequestError(f"{place}.{number}.function.name: must be a text")
        if parameters is not None and not isinstance(parameters, dict):
            raise RequestError(f"{place}.{number}.function.parameters: must be a JSON schema")
        if parameters and parameters.get("type", "object") != "object":
            raise RequestError(f"{place}.{number}.function.parameters.type: must be object: arguments have names")
        names.append(name)
    if len(set(names)) < len(names):
        raise RequestError(f"{place}: two functions have one name")
    return names


def insisted(body: ChatBody) -> ToolChoice | None:
    """What a call is insisted on, if one is.

    Raises:
        RequestError: the tools are none, or the choice is not among them.
    """
    names = check_tools(body.tools or ())
    choice, parallel = body.tool_choice, body.parallel_tool_calls is not False
    if choice in (None, "auto", "none"):
        return None
    if not names:
        raise RequestError("tool_choice: there are no tools to choose from")
    if body.parameters.get("echo"):
        raise RequestError("echo: not with tool_choice, which makes the answer a call")
    if choice == "required":
        return ToolChoice(body.tools or (), names, parallel=parallel)
    assert isinstance(choice, dict)
    function = choice.get("function")
    name = function.get("name") if isinstance(function, dict) else None
    if choice.get("type") != "function" or name not in names:
        raise RequestError(
            "tool_choice: must be none, auto, required or {type: function, function: {name: one of "
            f"{', '.join(names)}}}}}"
        )
    return ToolChoice(body.tools or (), [name], parallel=False)


def with_argument_objects(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message whose calls have objects for arguments, as templates read them; OpenAI's API has their text."""
    calls = message.get("tool_calls")
    if not isinstance(calls, list):
        return dict(message)
    return {**message, "tool_calls": [_with_object(call) for call in calls]}


def _with_object(call: Any) -> Any:
    function = call.get("function") if isinstance(call, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), str):
        return call
    return {**call, "function": {**function, "arguments": read_arguments(function["arguments"])}}
