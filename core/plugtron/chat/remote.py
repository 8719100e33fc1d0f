"""Answers of a server of OpenAI's form."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

from plugtron.chat.http_api import HttpApi, NotThere
from plugtron.chat.responder import Context, Figures, Responder
from plugtron.contracts.parser import AnswerDelta, ContentDelta, ReasoningDelta
from plugtron.errors import RequestError, suggestion
from plugtron.request.request import Message

__all__ = ["RemoteResponder"]

#: What servers call the reasoning of an answer.
_REASONING = ("reasoning_content", "reasoning")


class RemoteResponder(Responder):
    """Asks for each answer, with all that has been said.

    Args:
        model: which of the server's models; by default its first.

    Raises:
        RequestError, EngineError: as `HttpApi.events`.
    """

    def __init__(self, api: HttpApi, model: str | None) -> None:
        self._api = api
        self.model = model or self._first_model()

    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """What a server of plugtron says of its run; others say nothing."""
        return self._parameters

    def check(self, parameters: Mapping[str, Any]) -> None:
        """See whether the names are known; values are the server's to check, with the next answer."""
        known = self._parameters
        for name in parameters:
            if known and name not in known:
                raise RequestError(f"{name}: is no parameter of this server.{suggestion(name, list(known))}")

    def answer(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> Iterator[AnswerDelta | Figures]:
        """Answer a conversation."""
        body = {
            **parameters,
            "model": self.model,
            "messages": [_sent(message) for message in messages],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        begin, first, last = time.perf_counter(), None, None
        usage: Mapping[str, Any] = {}
        finish_reason = None
        for event in self._api.events("chat/completions", body):
            usage = event.get("usage") or usage
            for choice in event.get("choices") or ():
                finish_reason = choice.get("finish_reason") or finish_reason
                for delta in _deltas(choice.get("delta") or {}):
                    last = time.perf_counter()
                    first = first or last
                    yield delta
        tokens = usage.get("completion_tokens")
        seconds = None if first is None or last is None else last - first
        yield Figures(
            tokens=tokens,
            prompt_tokens=usage.get("prompt_tokens"),
            cached_tokens=(usage.get("prompt_tokens_details") or {}).get("cached_tokens"),
            first=None if first is None else first - begin,
            rate=(tokens - 1) / seconds if tokens and seconds else None,
            finish_reason=finish_reason,
        )

    def context(self, messages: Sequence[Message]) -> Context:
        """Have the server count, at the endpoint that plugtron's and vLLM's have."""
        if not messages:
            return Context(0, None)
        try:
            found = self._api.post("/tokenize", {"model": self.model, "messages": list(map(_sent, messages))})
            return Context(found["count"], found.get("max_model_len"))
        except (NotThere, KeyError, TypeError):
            raise RequestError("this server counts no tokens: it has no /tokenize") from None

    @cached_property
    def _parameters(self) -> Mapping[str, Mapping[str, Any]]:
        try:
            found = self._api.get("/plugtron/parameters")
            return dict(found["properties"])
        except (RequestError, KeyError, TypeError, ValueError):
            return {}

    def _first_model(self) -> str:
        found = self._api.get("models")
        try:
            return str(found["data"][0]["id"])
        except (KeyError, IndexError, TypeError):
            raise RequestError("the server names no model: name one") from None


def _sent(message: Message) -> Message:
    """A message without its reasoning, which some servers refuse."""
    return {name: value for name, value in message.items() if name not in _REASONING}


def _deltas(delta: Mapping[str, Any]) -> Iterator[AnswerDelta]:
    for name in _REASONING:
        if delta.get(name):
            yield ReasoningDelta(delta[name])
            break
    if delta.get("content"):
        yield ContentDelta(delta["content"])
