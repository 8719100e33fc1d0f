"""From the body of /v1/responses to a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from plugtron.contracts.routes import Service
from plugtron.errors import RequestError
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import InferenceRequest, Message
from plugtron.serve.answer_reader import ToolChoice
from plugtron.serve.responses.fields import ResponsesBody
from plugtron.serve.template_variables import knows_variable

__all__ = ["response_request", "response_tool_choice"]


def response_request(
    service: Service, body: ResponsesBody, messages: Sequence[Message], choice: ToolChoice | None
) -> InferenceRequest:
    """Make the request.

    Raises:
        RequestError: a field is wrong.
    """
    body.refuse_unread("return_token_ids", "stream_options", "prompt_logprobs")
    parameters = body.parameters
    if parameters.get("n", 1) != 1:
        raise RequestError("n: a response is one answer")
    if body.max_output_tokens is not None:
        parameters["max_tokens"] = body.max_output_tokens
    if body.top_logprobs is not None or "message.output_text.logprobs" in (body.include or ()):
        parameters["logprobs"] = body.top_logprobs or 0
    asked = None if body.text is None else body.text.format
    if asked is not None and asked.get("type", "text") != "text":
        if choice is not None:
            raise RequestError("text.format: an answer that has to be a call (tool_choice) has no other form")
        parameters["response_format"] = _form(asked)
    if choice is not None:
        parameters["json_schema"] = choice.schema
    return body.request(service, list(messages), parameters, ChatOptions.checked(_options(service, body)))


def _form(asked: dict[str, Any]) -> dict[str, Any]:
    """The form of chat completions, where the schema stands one level lower."""
    if asked["type"] != "json_schema":
        return asked
    return {"type": "json_schema", "json_schema": {name: asked[name] for name in asked if name != "type"}}


def _options(service: Service, body: ResponsesBody) -> dict[str, Any]:
    options = body.chat_options
    if body.reasoning is not None and body.reasoning.effort is not None:
        if not knows_variable(service, "reasoning_effort", body.chat_template):
            raise RequestError("reasoning.effort: this model's chat template has no variable reasoning_effort")
        variables = {**options.get("chat_template_kwargs", {}), "reasoning_effort": body.reasoning.effort}
        options["chat_template_kwargs"] = variables
    if body.tools and body.tool_choice != "none":
        options["tools"] = _tools(body)
    return options


def _tools(body: ResponsesBody) -> list[dict[str, Any]]:
    return [
        {
            "type": "function",
            "function": {
                "name": tool.name,
                "description": tool.description or "",
                "parameters": tool.parameters or {"type": "object", "properties": {}},
            },
        }
        for tool in body.tools or ()
    ]


def response_tool_choice(body: ResponsesBody) -> ToolChoice | None:
    """What a call is insisted on, if one is.

    Raises:
        RequestError: it is not among the tools.
    """
    choice, names = body.tool_choice, [tool.name for tool in body.tools or ()]
    if choice in (None, "auto", "none"):
        return None
    if not names:
        raise RequestError("tool_choice: there are no tools to choose from")
    if choice == "required":
        return ToolChoice(_tools(body), names, parallel=body.parallel_tool_calls is not False)
    assert isinstance(choice, dict)
    if choice.get("type") != "function" or choice.get("name") not in names:
        raise RequestError(f"tool_choice: must be none, auto, required or one of the functions {', '.join(names)}")
    return ToolChoice(_tools(body), [choice["name"]], parallel=False)
