"""The fields of requests, as clients of OpenAI's API write them; what is no field here is a sampling parameter."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, model_validator
from pydantic_core.core_schema import CoreSchema

from plugtron.contracts.routes import Service
from plugtron.errors import RequestError
from plugtron.request.chat_options import ChatOptions
from plugtron.request.request import InferenceRequest, Prompt
from plugtron.serve.api_error import ApiError

__all__ = [
    "MODEL",
    "ChatBody",
    "ChatFields",
    "CompletionBody",
    "Fields",
    "GenerationBody",
    "Several",
    "StreamOptions",
    "check_model",
    "check_number",
]


class _FirstMistake:
    """What pydantic's FailFast says, and it can stand in a union: it is hashable."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        assert schema["type"] == "list"
        schema["fail_fast"] = True
        return schema


_Item = TypeVar("_Item")
#: A list of a body. Only its first mistake is said: millions of them would hold up the server.
Several: TypeAlias = Annotated[list[_Item], _FirstMistake()]
#: What every body says of it.
MODEL = "one of the names that /v1/models lists"


class Fields(BaseModel):
    """A mapping with known fields."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StreamOptions(Fields):
    """What a stream has besides the answer."""

    include_usage: bool | None = Field(default=None, description="a last event with the counts of tokens")
    continuous_usage_stats: bool | None = Field(default=None, description="the counts in every event")
    include_obfuscation: Literal[False] | None = Field(default=None, description="false: nothing is padded")


class GenerationBody(BaseModel):
    """What bodies of completions and chats share. Other fields are sampling parameters, those of plugins among them."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    model: str | None = Field(default=None, description=MODEL)
    stream: bool | None = Field(default=None, description="events as the answer is made")
    stream_options: StreamOptions | None = Field(default=None, description="what a stream has besides the answer")
    user: str | None = Field(default=None, description="who asks, for the log of requests")
    store: Literal[False] | None = Field(default=None, description="nothing is stored")
    service_tier: Literal["auto", "default"] | None = Field(default=None, description="there is one")
    priority: int | None = Field(default=None, gt=-(2**63), lt=2**63, description="higher goes first")
    deadline: float | None = Field(default=None, gt=0, lt=1e9, description="seconds until it ends with what it has")
    cache_salt: str | None = Field(default=None, description="only equal ones share cached prefixes")
    return_token_ids: bool | None = Field(
        default=None, description="token ids of prompt and answers, and `weights_versions`"
    )

    @model_validator(mode="before")
    @classmethod
    def _null_is_unset(cls, values: Any) -> Any:
        """Clients write null for what they leave out."""
        if not isinstance(values, Mapping):
            return values
        return {name: value for name, value in values.items() if value is not None}

    @model_validator(mode="after")
    def _options_of_streams(self) -> Self:
        if self.stream_options is not None and not self.stream:
            raise ValueError("stream_options: is for streams (stream: true)")
        return self

    @property
    def parameters(self) -> dict[str, Any]:
        """The sampling parameters."""
        return dict(self.model_extra or {})

    @property
    def includes_usage(self) -> bool:
        """Whether a stream ends with the counts of tokens."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)

    @property
    def counts_on(self) -> bool:
        """Whether every event of a stream has the counts of tokens so far."""
        return self.stream_options is not None and bool(self.stream_options.continuous_usage_stats)

    def refuse_unread(self, *names: str) -> None:
        """Refuse fields and parameters whose results this endpoint's answers have no place for.

        Raises:
            RequestError: one is set.
        """
        own: dict[str, object] = {
            **self.parameters,
            "return_token_ids": self.return_token_ids,
            "stream_options": self.includes_usage or self.counts_on,
        }
        for name in names:
            # A parameter may be 0 and ask for something.
            if own.get(name) is not None and own[name] is not False:
                raise RequestError(f"{name}: answers of this kind have no place for it")

    def request(
        self, service: Service, prompt: Prompt, parameters: Mapping[str, Any], chat: ChatOptions | None = None
    ) -> InferenceRequest:
        """Make a request of it."""
        return service.new_request(
            prompt,
            parameters,
            chat=chat,
            priority=self.priority or 0,
            deadline=self.deadline,
            cache_salt=self.cache_salt or "",
        )


class CompletionBody(GenerationBody):
    """The body of /v1/completions."""

    prompt: str | Several[int] | Several[str] | Several[Several[int]] = Field(
        description="a text, ids, or several of either"
    )
    best_of: int | None = Field(default=None, description="only as many as n: nothing is ranked")
    suffix: Literal[""] | None = Field(default=None, description="text behind the answer; not done")


class ChatFields(GenerationBody):
    """How messages are written out, beside what the API of each endpoint has for it."""

    chat_template: str | None = Field(default=None, description="Jinja text, or the name of one of the model's")
    chat_template_kwargs: dict[str, Any] | None = Field(default=None, description="variables for the template")
    documents: Several[dict[str, Any]] | None = Field(default=None, description="texts to answer from")
    parser: str | None = Field(default=None, description="what takes answers apart, by name; auto, or none")
    add_generation_prompt: bool | None = Field(default=None, description="begin the answer; true by default")
    continue_final_message: bool | None = Field(default=None, description="go on with the last message's text")

    @property
    def chat_options(self) -> dict[str, Any]:
        """Those that are set, as `ChatOptions` has them."""
        values = {name: getattr(self, name) for name in ChatFields.model_fields if name in ChatOptions.model_fields}
        return {name: value for name, value in values.items() if value is not None}


class ChatBody(ChatFields):
    """The body of /v1/chat/completions."""

    messages: Several[dict[str, Any]] = Field(min_length=1, description="the conversation")
    max_completion_tokens: int | None = Field(default=None, description="the same as max_tokens")
    logprobs: bool | None = Field(default=None, description="log probabilities of the answer's tokens")
    top_logprobs: int | None = Field(default=None, ge=0, description="of as many likely tokens in each place")
    tools: Several[dict[str, Any]] | None = Field(default=None, description="functions on offer")
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = Field(
        default=None, description="whether there has to be a call, and of which function"
    )
    parallel_tool_calls: bool | None = Field(default=None, description="false: one call at the most")
    modalities: Several[Literal["text"]] | None = Field(default=None, description="text is what there is")
    metadata: dict[str, str] | None = Field(default=None, description="for the log of requests")
    reasoning_effort: str | None = Field(default=None, description="a variable of templates that know it")
    include_reasoning: bool | None = Field(default=None, description="false leaves the reasoning out of the answer")


def check_number(service: Service, count: int, place: str) -> None:
    """Refuse more requests in a body than the server takes at once: they would be refused however often they came.

    Raises:
        RequestError: they are.
    """
    if count > service.max_requests:
        raise RequestError(f"{place}: {count} at once (accepted: up to {service.max_requests}, serve.max_requests)")


def check_model(service: Service, model: str | None) -> str:
    """The name under which the model answers.

    Raises:
        ApiError: 404, it is served under other names.
    """
    if model is None:
        return service.models[0]
    if model not in service.models:
        known = ", ".join(service.models)
        message = f"the model {model!r} is not served here (served: {known})"
        raise ApiError(HTTPStatus.NOT_FOUND, message, param="model", code="model_not_found")
    return model
