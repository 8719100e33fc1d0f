"""Answers of a model of this process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from plugtron.assembly.session import Session
from plugtron.chat.interrupts import interrupts_noted
from plugtron.chat.responder import Context, Figures, Responder
from plugtron.contracts.parser import AnswerDelta
from plugtron.errors import EngineError, RequestError
from plugtron.request.request import InferenceRequest, Message, RequestOutput
from plugtron.request.sampling_params import SamplingParams
from plugtron.serve.answer_reader import text_reader
from plugtron.serve.parameters import parameters_schema
from plugtron.spec.chat_defaults import chat_defaults

__all__ = ["LocalResponder"]

#: Parameters that make something else of an answer than the next message of a conversation.
_UNFIT: Mapping[str, str] = MappingProxyType(
    {
        "n": "a conversation goes on with one answer",
        "pooling": "a conversation has answers, no embeddings",
        "echo": "answers of a conversation have no prompt in them",
    }
)


class LocalResponder(Responder):
    """Runs one request after the other. An engine that shares prefixes computes what has been said once."""

    def __init__(self, session: Session, model: str) -> None:
        self.model = model
        self._session = session
        spec = session.resolved.spec
        self._defaults = SamplingParams.from_flat(spec.sampling)
        self._chat = chat_defaults(spec)

    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """What the parts of the run declare."""
        components = [chosen.offer for chosen in self._session.resolved.components]
        properties = parameters_schema(components, self._defaults.asked())["properties"]
        return {name: declared for name, declared in properties.items() if name not in _UNFIT}

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Have the engine look at a request with these parameters."""
        for name, reason in _UNFIT.items():
            if parameters.get(name):
                raise RequestError(f"{name}: {reason}")
        self._prepared([0], parameters)

    def answer(self, messages: Sequence[Message], parameters: Mapping[str, Any]) -> Iterator[AnswerDelta | Figures]:
        """Answer a conversation."""
        request = self._prepared(messages, parameters)
        reader = text_reader(self._session.parser(request), self._session.parts.tokenizer, request)
        for output in self._outputs(request):
            yield from reader.push(output)
        if request.error is not None:
            raise EngineError(request.error)
        timings = request.timings
        yield Figures(
            tokens=len(request.tokens),
            prompt_tokens=len(request.prompt_tokens),
            cached_tokens=request.cached_tokens,
            first=timings.time_to_first_token,
            rate=timings.tokens_per_second,
            finish_reason=request.finish_reason,
        )

    def context(self, messages: Sequence[Message]) -> Context:
        """Count the tokens of a conversation as the next answer would have it before it."""
        if not messages:
            return Context(0, self._session.engine.max_sequence_length)
        tokens = len(self._prepared(messages, {}).prompt_tokens)
        return Context(tokens, self._session.engine.max_sequence_length)

    def _prepared(self, prompt: Sequence[Message] | list[int], parameters: Mapping[str, Any]) -> InferenceRequest:
        params = SamplingParams.from_flat(parameters).over(self._defaults)
        request = InferenceRequest(prompt=list(prompt), params=params, chat=self._chat)  # pyright: ignore[reportArgumentType] - a list of either
        self._session.prepare_request(request)
        if request.error is not None:
            raise RequestError(request.error)
        return request

    def _outputs(self, request: InferenceRequest) -> Iterator[RequestOutput]:
        """Step until the request has ended, or Ctrl-C ends it between two steps."""
        session = self._session
        session.announce()
        with interrupts_noted() as interrupted:
            request_id = session.add_request(request)
            try:
                while session.has_unfinished_requests and not interrupted():
                    yield from session.step()
            finally:
                ended = request.is_finished
                session.abort_request(request_id)
                while session.has_unfinished_requests:
                    session.step()
                failed = request.error is not None
                session.conclude(finished=ended and not failed, failed=failed, interrupted=not ended)
            if not ended:
                raise KeyboardInterrupt
