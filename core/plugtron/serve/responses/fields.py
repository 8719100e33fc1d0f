"""The body of /v1/responses."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from plugtron.serve.openai.fields import ChatFields, Fields, Several

__all__ = ["FunctionTool", "Reasoning", "ResponsesBody", "TextFormat"]


class FunctionTool(Fields):
    """A function on offer."""

    type: Literal["function"]
    name: str = Field(min_length=1)
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class Reasoning(Fields):
    """How much the model reasons: a variable of templates that know it."""

    effort: str | None = Field(default=None, description="for templates with a variable reasoning_effort")
    summary: Literal["auto"] | None = Field(default=None, description="there are none")


class TextFormat(Fields):
    """The form of the answer."""

    format: dict[str, Any] | None = Field(default=None, description="text, json_object, or json_schema")
    verbosity: Literal["medium"] | None = Field(default=None, description="there is one")


class ResponsesBody(ChatFields):
    """The body; parameters beyond OpenAI's are plugtron's."""

    input: str | Several[dict[str, Any]] = Field(min_length=1, description="a text, or items of a conversation")
    instructions: str | None = Field(default=None, description="the system's message")
    max_output_tokens: int | None = Field(default=None, ge=1, description="the same as max_tokens")
    tools: Several[FunctionTool] | None = Field(default=None, description="functions on offer")
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = Field(
        default=None, description="whether there has to be a call, and of which function"
    )
    parallel_tool_calls: bool | None = Field(default=None, description="false: one call at the most")
    text: TextFormat | None = Field(default=None, description="the form of the answer")
    reasoning: Reasoning | None = Field(default=None, description="how much the model reasons")
    previous_response_id: str | None = Field(default=None, description="a stored response to go on from")
    store: bool | None = Field(default=None, description="false: previous_response_id will not find it")  # pyright: ignore[reportIncompatibleVariableOverride] - responses are stored
    metadata: dict[str, str] | None = Field(default=None, description="comes back with the response")
    truncation: Literal["disabled"] | None = Field(default=None, description="too long an input is refused")
    background: Literal[False] | None = Field(default=None, description="not done")
    include: Several[Literal["reasoning.encrypted_content", "message.output_text.logprobs"]] | None = Field(
        default=None, description="log probabilities of the text, too; reasoning is never encrypted"
    )
    top_logprobs: int | None = Field(default=None, ge=0, description="of as many likely tokens in each place")
    prompt_cache_key: str | None = Field(default=None, description="prefixes are shared anyway")
    safety_identifier: str | None = Field(default=None, description="not used")
