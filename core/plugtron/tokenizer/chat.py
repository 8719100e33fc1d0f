"""Chat templates: Jinja, in a sandbox that lets a template compute text and nothing else."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import RequestError
from plugtron.request.chat_options import ChatOptions, is_template_text, message_problem
from plugtron.request.request import Message

__all__ = ["check_tools", "render_chat", "template_of"]

#: A template that reads the text of a part, loops over a message's content, or looks at its type, takes lists of parts.
_TAKES_PARTS = re.compile(
    r"\.text\b|\[['\"]text['\"]\]|attribute\s*=\s*['\"]text['\"]|for\s+\w+\s+in\s+[^%]*content"
    r"|content['\"\]]*\s+is\s+(?:not\s+)?(?:string|iterable|sequence|mapping)"
)
#: A template that never says the word leaves tools out.
_READS_TOOLS = re.compile(r"\btools\b")
#: What a message's reasoning is called; templates read the first.
_REASONING = ("reasoning_content", "thinking", "reasoning")
_TAG = "END_OF_THE_LAST_MESSAGE "


def render_chat(tokenizer: Tokenizer, messages: Sequence[Message], options: ChatOptions | None = None) -> str:
    """Write a conversation as the model was trained to see it, up to where its answer begins or goes on.

    Raises:
        RequestError: a message is none, the checkpoint has no template, or the template refuses the messages or
            computes more than a template may.
    """
    # Imported here: most runs have no chat in them, and jinja2 is slow to import.
    from plugtron.tokenizer.template_sandbox import TemplateEnvironment, refused

    options = options or ChatOptions()
    template = template_of(tokenizer, options)
    conversation = _plain_messages(messages, keeps_parts=_TAKES_PARTS.search(template) is not None)
    if options.continue_final_message:
        _mark_end(conversation)
    variables: dict[str, Any] = {
        "bos_token": "",
        "eos_token": "",
        **tokenizer.special_tokens,
        **_names(tokenizer),
        **options.chat_template_kwargs,
    }
    try:
        text = TemplateEnvironment().render_text(
            template,
            {
                **variables,
                "messages": conversation,
                "tools": options.tools,
                "documents": options.documents,
                "add_generation_prompt": options.begins_answer,
            },
        )
    # A template is the checkpoint's code; whatever it runs into, the request is what fails.
    except Exception as error:
        raise RequestError(f"the chat template refuses these messages: {refused(error)}") from None
    return _before_mark(text) if options.continue_final_message else text


def check_tools(tokenizer: Tokenizer, options: ChatOptions | None) -> None:
    """Refuse tools that the template would leave out: the model would never hear of them.

    Raises:
        RequestError: so it is; or there is no template.
    """
    if options is not None and options.tools and not _READS_TOOLS.search(template_of(tokenizer, options)):
        raise RequestError("tools: this chat template has no place for them; chat_template may name or be another")


def template_of(tokenizer: Tokenizer, options: ChatOptions) -> str:
    """The request's own template, or the checkpoint's: its one for tools where it has one and there are tools.

    Raises:
        RequestError: there is none, or none of the name.
    """
    if options.chat_template is not None:
        own = options.chat_template
        if own not in tokenizer.chat_templates and not is_template_text(own):
            known = "".join(f", {name}" for name in sorted(tokenizer.chat_templates))
            raise RequestError(f"chat_template: there is none of the name {own!r} (accepted: Jinja text{known})")
        return tokenizer.chat_templates.get(own, own)
    if options.tools is not None and "tool_use" in tokenizer.chat_templates:
        return tokenizer.chat_templates["tool_use"]
    if tokenizer.chat_template is None:
        named = ", ".join(sorted(set(tokenizer.chat_templates) - {"default"}))
        raise RequestError(
            f"this checkpoint has no chat template for this: name one of {named} as chat_template"
            if named
            else "this checkpoint has no chat template: pass text, a chat_template, or a checkpoint tuned to chat"
        )
    return tokenizer.chat_template


def _plain_messages(messages: Sequence[Message], *, keeps_parts: bool) -> list[dict[str, Any]]:
    """Messages as templates expect them: no field that is None, and one text where a template knows no parts."""
    plain = []
    if not isinstance(messages, list | tuple) or not messages:
        raise RequestError("messages: a conversation is a list of at least one message")
    for number, message in enumerate(messages):
        problem = message_problem(message)
        if problem is not None:
            raise RequestError(f"messages.{number}: {problem}")
        kept = {name: value for name, value in message.items() if value is not None}
        content = kept.get("content")
        if isinstance(content, list | tuple):
            parts = [{"type": "text", **part} for part in content]
            kept["content"] = parts if keeps_parts else "\n".join(part["text"] for part in parts)
        reasoning = next((kept[name] for name in _REASONING if name in kept), None)
        if reasoning is not None:
            kept = {"thinking": reasoning, **kept, "reasoning_content": reasoning}
        plain.append(kept)
    return plain


def _names(tokenizer: Tokenizer) -> dict[str, str]:
    """The texts of the first and last token, where the tokenizer knows their ids."""
    ids = {"bos_token": tokenizer.bos_id, "eos_token": tokenizer.eos_ids[0] if tokenizer.eos_ids else None}
    return {
        name: tokenizer.token_bytes(token).decode("utf-8", errors="replace")
        for name, token in ids.items()
        if token is not None and name not in tokenizer.special_tokens
    }


def _mark_end(conversation: list[dict[str, Any]]) -> None:
    content = conversation[-1].get("content")
    if isinstance(content, str):
        conversation[-1]["content"] = content + _TAG
    elif content:
        content[-1]["text"] += _TAG
    else:
        raise RequestError("continue_final_message: the last message has no text to go on with")


def _before_mark(text: str) -> str:
    """Cut a rendering where the last message's text ends; a template may have stripped it."""
    end = text.rfind(_TAG.strip())
    if end < 0:
        raise RequestError("continue_final_message: the chat template leaves the last message's text out")
    return text[:end] if text.startswith(_TAG, end) else text[:end].rstrip()
