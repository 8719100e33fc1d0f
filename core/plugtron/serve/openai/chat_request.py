"""From the body of a chat completion to a request."""

from __future__ import annotations

from typing import Any

from plugtron.contracts.routes import Service
from plugtron.errors import RequestError
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import InferenceRequest
from plugtron.serve.answer_reader import ToolChoice
from plugtron.serve.openai.fields import ChatBody
from plugtron.serve.openai.tools import with_argument_objects
from plugtron.serve.template_variables import knows_variable

__all__ = ["chat_request"]


def chat_request(service: Service, body: ChatBody, choice: ToolChoice | None) -> InferenceRequest:
    """Make the request.

    Raises:
        RequestError: fields contradict each other, or are none of a request.
    """
    body.refuse_unread("prompt_logprobs")
    parameters = _parameters(body)
    if choice is not None:
        if parameters.get("response_format", {"type": "text"}) != {"type": "text"}:
            raise RequestError("response_format: an answer that has to be a call (tool_choice) has no other form")
        parameters.pop("response_format", None)
        parameters["json_schema"] = choice.schema
    options = _chat_options(service, body)
    messages = [with_argument_objects(message) for message in body.messages]
    return body.request(service, messages, parameters, ChatOptions.checked(options))


def _parameters(body: ChatBody) -> dict[str, Any]:
    parameters = body.parameters
    most = body.max_completion_tokens
    if most is not None:
        if parameters.get("max_tokens", most) != most:
            raise RequestError("max_tokens: is given twice, and max_completion_tokens is another number")
        parameters["max_tokens"] = most
    if body.top_logprobs is not None and not body.logprobs:
        raise RequestError("top_logprobs: needs logprobs: true")
    if body.logprobs:
        parameters["logprobs"] = body.top_logprobs or 0
    return parameters


def _chat_options(service: Service, body: ChatBody) -> dict[str, Any]:
    options = body.chat_options
    if body.tools is not None and body.tool_choice != "none":
        options["tools"] = body.tools
    if body.reasoning_effort is not None:
        if not knows_variable(service, "reasoning_effort", options.get("chat_template")):
            raise RequestError("reasoning_effort: this model's chat template has no such variable")
        variables = {**options.get("chat_template_kwargs", {}), "reasoning_effort": body.reasoning_effort}
        options["chat_template_kwargs"] = variables
    return options
