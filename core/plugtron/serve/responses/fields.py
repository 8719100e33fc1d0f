"""The body of /v1/responses."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from plugtron.serve.openai.fields import ChatFields, Fields

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

    effort: str | None = None
    summary: str | None = None


class TextFormat(Fields):
    """The form of the answer."""

    format: dict[str, Any] | None = None
    verbosity: Literal["medium"] | None = None


class ResponsesBody(ChatFields):
    """The body; parameters beyond OpenAI's are plugtron's."""

    input: str | list[dict[str, Any]] = Field(min_length=1)
    instructions: str | None = None
    max_output_tokens: int | None = Field(default=None, ge=1)
    tools: list[FunctionTool] | None = None
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    text: TextFormat | None = None
    reasoning: Reasoning | None = None
    previous_response_id: str | None = None
    store: bool | None = Field(default=None, description="false: previous_response_id will not find it")  # pyright: ignore[reportIncompatibleVariableOverride] - responses are stored
    metadata: dict[str, str] | None = None
    truncation: Literal["disabled"] | None = None
    background: Literal[False] | None = None
    include: list[Literal["reasoning.encrypted_content", "message.output_text.logprobs"]] | None = None
    top_logprobs: int | None = Field(default=None, ge=0)
    prompt_cache_key: str | None = Field(default=None, description="prefixes are shared anyway")
    safety_identifier: str | None = None
