"""Chat templates: Jinja, in a sandbox that lets a template compute text and nothing else."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import RequestError
from plugtron.request import Message

__all__ = ["render_chat"]


class _Generation(Extension):
    """`{% generation %}` marks the assistant's part for training; here it is its content."""

    tags = {"generation"}  # noqa: RUF012 - as jinja2 declares it

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def render_chat(tokenizer: Tokenizer, messages: Sequence[Message]) -> str:
    """Write a conversation as the model was trained to see it, up to where its answer begins.

    Raises:
        RequestError: the checkpoint has no template, or the template refuses the messages.
    """
    if tokenizer.chat_template is None:
        raise RequestError("this checkpoint has no chat template: pass text, or a checkpoint that was tuned to chat")
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    try:
        return environment.from_string(tokenizer.chat_template).render(
            messages=list(messages),
            add_generation_prompt=True,
            bos_token=_name(tokenizer, tokenizer.bos_id),
            eos_token=_name(tokenizer, tokenizer.eos_ids[0] if tokenizer.eos_ids else None),
        )
    # A template is the checkpoint's code; whatever it runs into, the request is what fails.
    except (TemplateError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise RequestError(f"the chat template refuses these messages: {error}") from None


def _name(tokenizer: Tokenizer, token: int | None) -> str:
    return "" if token is None else tokenizer.token_bytes(token).decode("utf-8", errors="replace")


def _to_json(value: Any, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _raise(message: str) -> None:
    raise TemplateError(message)
