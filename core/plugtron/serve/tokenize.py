"""/tokenize and /detokenize, in vLLM's form."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from plugtron.contracts.routes import Routes, Service
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import RequestError
from plugtron.plugin.options import Options
from plugtron.request.chat_options import ChatOptions
from plugtron.serve.body import read_body
from plugtron.serve.openai.fields import Fields, check_model
from plugtron.tokenizer.chat import render_chat

__all__ = ["TokenizeRoutes"]


class _TokenizeBody(Fields):
    model: str | None = None
    prompt: str | None = None
    messages: list[dict[str, Any]] | None = Field(default=None, min_length=1)
    tools: list[dict[str, Any]] | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    add_generation_prompt: bool | None = None
    continue_final_message: bool | None = None
    add_special_tokens: bool | None = None
    return_token_strs: bool | None = None

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("needs one of prompt and messages")
        return self


class _DetokenizeBody(Fields):
    model: str | None = None
    tokens: list[int]


class TokenizeRoutes(Routes):
    """Texts to ids and back."""

    def __init__(self, service: Service) -> None:
        self._service = service

    @classmethod
    def assemble(cls, service: Service, options: Options) -> Self:
        """Make them; there are no options."""
        del options
        return cls(service)

    def routes(self) -> Sequence[Route]:
        """The endpoints."""
        return (
            Route("/tokenize", self._tokenize, methods=["POST"]),
            Route("/detokenize", self._detokenize, methods=["POST"]),
        )

    @property
    def _tokenizer(self) -> Tokenizer:
        if self._service.tokenizer is None:
            raise RequestError("this checkpoint has no tokenizer")
        return self._service.tokenizer

    async def _tokenize(self, http: Request) -> Response:
        body = await read_body(http, _TokenizeBody)
        check_model(self._service, body.model)
        tokens = await asyncio.to_thread(self._tokens, body)
        answer: dict[str, Any] = {"count": len(tokens), "max_model_len": self._service.max_sequence_length}
        answer["tokens"] = tokens
        if body.return_token_strs:
            answer["token_strs"] = [self._tokenizer.decode([token], skip_special=False) for token in tokens]
        return JSONResponse(answer)

    def _tokens(self, body: _TokenizeBody) -> list[int]:
        tokenizer = self._tokenizer
        if body.messages is None:
            assert body.prompt is not None
            return tokenizer.encode(_unicode(body.prompt), add_special=body.add_special_tokens is not False)
        names = ("tools", "chat_template_kwargs", "add_generation_prompt", "continue_final_message")
        chat = {name: value for name in names if (value := getattr(body, name)) is not None}
        text = render_chat(tokenizer, body.messages, ChatOptions.checked(chat))
        return tokenizer.encode(_unicode(text), add_special=body.add_special_tokens is True)

    async def _detokenize(self, http: Request) -> Response:
        body = await read_body(http, _DetokenizeBody)
        check_model(self._service, body.model)
        tokenizer = self._tokenizer
        for place, token in enumerate(body.tokens):
            if not 0 <= token < tokenizer.vocab_size:
                raise RequestError(f"tokens.{place}: {token} is no token (accepted: 0 to {tokenizer.vocab_size - 1})")
        text = await asyncio.to_thread(tokenizer.decode, body.tokens, skip_special=False)
        return JSONResponse({"prompt": text})


def _unicode(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise RequestError(f"the text is no Unicode: character {error.start} is half of a pair") from None
    return text
