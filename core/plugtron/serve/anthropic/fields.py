"""The body of /v1/messages, as clients of Anthropic's API write it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from plugtron.serve.openai.fields import ChatFields, Fields, Several

__all__ = ["AnthropicTool", "AnthropicToolChoice", "CountBody", "MessagesBody", "Thinking"]


class AnthropicTool(Fields):
    """A function on offer."""

    name: str = Field(min_length=1)
    description: str | None = None
    input_schema: dict[str, Any]
    type: Literal["custom"] | None = None
    cache_control: dict[str, Any] | None = None
    strict: bool | None = None


class AnthropicToolChoice(Fields):
    """Which call is insisted on."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Fields):
    """Whether the model reasons first: a variable of templates that know it."""

    type: Literal["enabled", "disabled", "adaptive"]
    budget_tokens: int | None = Field(default=None, description="not bounded apart from max_tokens")
    display: str | None = None


class CountBody(ChatFields):
    """What the tokens of a prompt are counted of."""

    messages: Several[dict[str, Any]] = Field(min_length=1, description="the conversation")
    system: str | Several[dict[str, Any]] | None = Field(default=None, description="the system's message")
    tools: Several[AnthropicTool] | None = Field(default=None, description="functions on offer")
    tool_choice: AnthropicToolChoice | None = Field(default=None, description="whether there has to be a call")
    thinking: Thinking | None = Field(default=None, description="whether the model reasons first")


class MessagesBody(CountBody):
    """The body of /v1/messages; parameters beyond Anthropic's are plugtron's."""

    max_tokens: int = Field(ge=1, description="tokens of the answer")
    stop_sequences: Several[str] | None = Field(default=None, description="the same as stop")
    metadata: dict[str, Any] | None = Field(default=None, description="user_id is for the log of requests")
