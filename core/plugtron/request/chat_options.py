"""What a request for a chat says beside its messages: which template writes them out, and with what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from plugtron.errors import RequestError, suggestion
from plugtron.utils.validation import describe

__all__ = ["AUTO_PARSER", "NO_PARSER", "ROLES", "ChatOptions", "is_template_text", "message_problem", "template_text"]

#: Words in the place of a parser's name: the one that knows the template, and none.
AUTO_PARSER, NO_PARSER = "auto", "none"
#: Who speaks in the templates of published models.
ROLES = (
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
    "ipython",
    "observation",
    "model",
    "context",
    "document",
    "environment",
)


class ChatOptions(BaseModel):
    """How messages are written out. None means what the checkpoint's own template makes of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    chat_template: str | None = Field(
        default=None,
        description="Jinja text, or the name of one of the checkpoint's templates; for a whole spec a file, too",
    )
    chat_template_kwargs: dict[str, Any] = Field(
        default_factory=dict, description="variables for the template, such as enable_thinking"
    )
    tools: list[dict[str, Any]] | None = Field(default=None, description="functions on offer, as JSON schemas")
    parser: str | None = Field(
        default=None,
        description="what takes answers apart into content, reasoning and tool calls: a parser's name, auto (by the "
        "template) or none; by default auto where there are tools",
    )
    documents: list[dict[str, Any]] | None = Field(default=None, description="texts to answer from")
    add_generation_prompt: bool | None = Field(
        default=None, description="begin the answer; by default unless the last message is to be continued"
    )
    continue_final_message: bool = Field(default=False, description="go on with the last message's text")

    @model_validator(mode="after")
    def _one_way_to_go_on(self) -> Self:
        if self.continue_final_message and self.add_generation_prompt:
            raise ValueError("continue_final_message: an answer cannot begin (add_generation_prompt) and go on as well")
        return self

    @property
    def begins_answer(self) -> bool:
        """`add_generation_prompt` with its default settled."""
        return not self.continue_final_message if self.add_generation_prompt is None else self.add_generation_prompt

    @classmethod
    def checked(cls, values: Mapping[str, Any]) -> Self:
        """Read options that a caller gave.

        Raises:
            RequestError: one is wrong; with its name.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            raise RequestError(found=describe(error, cls, values)) from None

    def over(self, defaults: ChatOptions) -> ChatOptions:
        """These options, with `defaults` for the fields that are not set; template variables are merged."""
        values = {name: getattr(source, name) for source in (defaults, self) for name in source.model_fields_set}
        values["chat_template_kwargs"] = {**defaults.chat_template_kwargs, **self.chat_template_kwargs}
        return ChatOptions(**values)


def is_template_text(template: str) -> bool:
    """Whether this is Jinja text, and not the name of a template or a file. A template without a brace says nothing."""
    return "{" in template or "\n" in template


def template_text(template: str, known: Sequence[str] = (), folder: Path | None = None) -> str:
    """Return a template that is given as its text, as a file, or by one of the `known` names.

    Args:
        folder: where relative paths begin; by default the working directory.

    Raises:
        RequestError: it is neither, or the file cannot be read.
    """
    if is_template_text(template) or template in known:
        return template
    path = (folder or Path()) / Path(template).expanduser()
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
        names = f", or one of {', '.join(sorted(known))}" if known else ""
        raise RequestError(
            f"chat_template: {template}: {reason} (accepted: Jinja text, or a file of it{names})"
        ) from None


def message_problem(message: Any) -> str | None:
    """Say what keeps a message from being one; None for a good one."""
    if not isinstance(message, Mapping):
        return f"must be a mapping such as {{role: user, content: Hello}} (got {message!r:.60})"
    role, content = message.get("role"), message.get("content")
    if not isinstance(role, str):
        return "role is required: user, assistant or system" if role is None else f"role must be a text (got {role!r})"
    if role not in ROLES:
        return f"role {role!r} is unknown (accepted: {', '.join(ROLES)}).{suggestion(role, ROLES)}"
    if content is None:
        return None if "content" in message or message.get("tool_calls") else "content is required"
    if isinstance(content, str):
        return None
    if not isinstance(content, Sequence):
        return f"content must be a text, a list of {{type: text, text: ...}}, or null (got {content!r:.60})"
    for part in content:
        if not isinstance(part, Mapping) or part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            return f"content may have parts {{type: text, text: ...}} only (got {part!r:.60})"
    return None
