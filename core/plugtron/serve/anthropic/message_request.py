"""From the body of /v1/messages to a request."""

from __future__ import annotations

from typing import Any

from plugtron.contracts.routes import Service
from plugtron.errors import RequestError
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import InferenceRequest
from plugtron.serve.answer_reader import ToolChoice
from plugtron.serve.anthropic.conversation import conversation, tools_of
from plugtron.serve.anthropic.fields import CountBody, MessagesBody
from plugtron.serve.template_variables import knows_variable

__all__ = ["is_parallel", "message_request", "tool_choice"]


def message_request(service: Service, body: CountBody, choice: ToolChoice | None) -> InferenceRequest:
    """Make the request.

    Raises:
        RequestError: a field is wrong.
    """
    body.refuse_unread("return_token_ids", "stream_options", "logprobs", "prompt_logprobs")
    parameters: dict[str, Any] = body.parameters
    if parameters.get("n", 1) != 1:
        raise RequestError("n: there is one answer to a message")
    if isinstance(body, MessagesBody):
        parameters["max_tokens"] = body.max_tokens
        if body.stop_sequences:
            parameters["stop"] = body.stop_sequences
    if choice is not None:
        parameters["json_schema"] = choice.schema
    options = body.chat_options
    if body.tools and (body.tool_choice is None or body.tool_choice.type != "none"):
        options["tools"] = tools_of(body.tools)
    if body.thinking is not None:
        reasons = body.thinking.type != "disabled"
        if reasons and not knows_variable(service, "enable_thinking", body.chat_template):
            raise RequestError("thinking: this model's chat template has no variable enable_thinking")
        options["chat_template_kwargs"] = {**options.get("chat_template_kwargs", {}), "enable_thinking": reasons}
    if body.messages[-1].get("role") == "assistant":
        options["continue_final_message"] = True  # the API's way to begin the answer for the model
    return body.request(service, conversation(body), parameters, ChatOptions.checked(options))


def tool_choice(body: CountBody) -> ToolChoice | None:
    """What a call is insisted on, if one is.

    Raises:
        RequestError: it is not among the tools.
    """
    choice = body.tool_choice
    if choice is None or choice.type in ("auto", "none"):
        return None
    names = [tool.name for tool in body.tools or ()]
    if not names:
        raise RequestError("tool_choice: there are no tools to choose from")
    if choice.type == "tool":
        if choice.name not in names:
            raise RequestError(f"tool_choice.name: must be one of {', '.join(names)} (got {choice.name!r})")
        names = [choice.name]
    return ToolChoice(tools_of(body.tools or ()), names, parallel=choice.type == "any" and is_parallel(body))


def is_parallel(body: CountBody) -> bool:
    """Whether the answer may have several calls."""
    return body.tool_choice is None or not body.tool_choice.disable_parallel_tool_use
