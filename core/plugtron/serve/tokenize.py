"""/tokenize and /detokenize, in vLLM's form."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from pydantic import Field, model_validator
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.routes import Routes
from plugtron.contracts.tokenizer import Tokenizer
from plugtron.errors import RequestError
from plugtron.request.chat_options import ChatOptions
from plugtron.serve.body import read_body
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.openai.fields import MODEL, Fields, Several, check_model
from plugtron.tokenizer.chat import render_chat

__all__ = ["TokenizeRoutes"]


class TokenizeBody(Fields):
    """The body of /tokenize: one of `prompt` and `messages`."""

    model: str | None = Field(default=None, description=MODEL)
    prompt: str | None = Field(default=None, description="a text")
    messages: Several[dict[str, Any]] | None = Field(default=None, min_length=1, description="a conversation")
    tools: Several[dict[str, Any]] | None = Field(default=None, description="functions on offer")
    chat_template_kwargs: dict[str, Any] | None = Field(default=None, description="variables for the chat template")
    add_generation_prompt: bool | None = Field(default=None, description="begin the answer; true by default")
    continue_final_message: bool | None = Field(default=None, description="go on with the last message's text")
    add_special_tokens: bool | None = Field(
        default=None, description="what begins a text for the model; by default with a prompt, and not with messages"
    )
    return_token_strs: bool | None = Field(default=None, description="the text of each token, too")

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("needs one of prompt and messages")
        return self


class DetokenizeBody(Fields):
    """The body of /detokenize."""

    model: str | None = Field(default=None, description=MODEL)
    tokens: Several[int] = Field(description="the ids")


class TokenizeRoutes(Routes):
    """Texts to ids and back."""

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        return (
            Endpoint("/tokenize", self._tokenize, "the ids of a text or a conversation", form=TokenizeBody),
            Endpoint("/detokenize", self._detokenize, "the text of ids", form=DetokenizeBody),
        )

    @property
    def _tokenizer(self) -> Tokenizer:
        if self.service.tokenizer is None:
            raise RequestError("this checkpoint has no tokenizer")
        return self.service.tokenizer

    async def _tokenize(self, http: Request) -> Response:
        body = await read_body(http, TokenizeBody)
        check_model(self.service, body.model)
        tokens = await asyncio.to_thread(self._tokens, body)
        answer: dict[str, Any] = {"count": len(tokens), "max_model_len": self.service.max_sequence_length}
        answer["tokens"] = tokens
        if body.return_token_strs:
            answer["token_strs"] = [self._tokenizer.decode([token], skip_special=False) for token in tokens]
        return JSONResponse(answer)

    def _tokens(self, body: TokenizeBody) -> list[int]:
        tokenizer = self._tokenizer
        if body.messages is None:
            assert body.prompt is not None
            return tokenizer.encode(_unicode(body.prompt), add_special=body.add_special_tokens is not False)
        names = ("tools", "chat_template_kwargs", "add_generation_prompt", "continue_final_message")
        chat = {name: value for name in names if (value := getattr(body, name)) is not None}
        text = render_chat(tokenizer, body.messages, ChatOptions.checked(chat))
        return tokenizer.encode(_unicode(text), add_special=body.add_special_tokens is True)

    async def _detokenize(self, http: Request) -> Response:
        body = await read_body(http, DetokenizeBody)
        check_model(self.service, body.model)
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
