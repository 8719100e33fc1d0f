"""/v1/chat/completions"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.parser import AnswerDelta, ArgumentsDelta, CallBegun, ContentDelta, ReasoningDelta
from plugtron.contracts.routes import Service
from plugtron.request.request import InferenceRequest, RequestOutput
from plugtron.serve.answer_reader import AnswerReader, ToolChoice, reader_for
from plugtron.serve.body import read_body
from plugtron.serve.event_stream import DONE, EventStream, TextEvents, event, gone, unless_client_leaves
from plugtron.serve.middleware.request_log import note
from plugtron.serve.openai.chat_request import chat_request
from plugtron.serve.openai.fields import ChatBody, check_model
from plugtron.serve.openai.log_probs import chat_log_probs
from plugtron.serve.openai.message import Answer
from plugtron.serve.openai.tools import insisted
from plugtron.serve.openai.usage import finish_reason, usage

__all__ = ["ChatCompletions"]


class ChatCompletions:
    """The endpoint: answers to conversations."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def answer(self, http: Request) -> Response:
        """Answer a request."""
        body = await read_body(http, ChatBody)
        model = check_model(self._service, body.model)
        choice = insisted(body)
        request = chat_request(self._service, body, choice)
        note(http, [request], model=model, user=body.user, metadata=body.metadata)
        await self._service.admit(request)
        head = {"id": f"chatcmpl-{uuid4().hex}", "created": int(time.time()), "model": model}
        if body.stream:
            return EventStream(self._events(request, body, choice, {**head, "object": "chat.completion.chunk"}))
        answers = await unless_client_leaves(http, self._answers(request, body, choice))
        if answers is None:
            return gone()
        choices = [self._choice(body, request, index, answer) for index, answer in enumerate(answers)]
        result = {**head, "object": "chat.completion", "choices": choices, "usage": usage([request])}
        if body.return_token_ids:
            result["prompt_token_ids"] = request.prompt_tokens
        return JSONResponse(result)

    def _readers(self, request: InferenceRequest, choice: ToolChoice | None) -> list[AnswerReader]:
        return [reader_for(self._service, request, choice) for _ in range(request.params.answers)]

    async def _answers(self, request: InferenceRequest, body: ChatBody, choice: ToolChoice | None) -> list[Answer]:
        readers = self._readers(request, choice)
        answers = [Answer(parallel=body.parallel_tool_calls is not False) for _ in readers]
        await self._service.generate(request)
        for reader, answer, sequence in zip(readers, answers, request.sequences, strict=True):
            whole = RequestOutput(
                request, sequence.index, sequence.text, tuple(sequence.tokens), sequence.finish_reason
            )
            answer.add(reader.push(whole))
        return answers

    def _choice(self, body: ChatBody, request: InferenceRequest, index: int, answer: Answer) -> dict[str, Any]:
        sequence = request.sequences[index]
        choice: dict[str, Any] = {
            "index": index,
            "message": answer.message(with_reasoning=body.include_reasoning is not False),
            "logprobs": None,
            "finish_reason": finish_reason(sequence.finish_reason, has_calls=answer.has_calls),
            "stop_reason": sequence.stop_reason,
        }
        if request.params.logprobs is not None:
            choice["logprobs"] = chat_log_probs(sequence.log_probs, self._service.tokenizer)
        if body.return_token_ids:
            choice |= {"token_ids": sequence.tokens, "weights_versions": sequence.weights_versions}
        return choice

    async def _events(
        self, request: InferenceRequest, body: ChatBody, choice: ToolChoice | None, head: dict[str, Any]
    ) -> AsyncGenerator[bytes, None]:
        readers = self._readers(request, choice)
        answers = [Answer(parallel=body.parallel_tool_calls is not False) for _ in readers]
        counts: dict[str, Any] = {"usage": None} if body.includes_usage else {}
        for index in range(len(readers)):
            first: dict[str, Any] = {"index": index, "delta": {"role": "assistant", "content": ""}}
            ids = {"prompt_token_ids": request.prompt_tokens} if body.return_token_ids else {}
            yield event({**head, "choices": [{**first, "logprobs": None, "finish_reason": None}], **ids, **counts})
        plain = None
        if not (body.return_token_ids or body.counts_on or request.params.logprobs is not None):
            content = {"delta": {"content": TextEvents.HOLE}, "logprobs": None, "finish_reason": None}
            choices = [{"index": index, **content} for index in range(len(readers))]
            plain = [TextEvents({**head, "choices": [choice], **counts}) for choice in choices]
        async with aclosing(self._service.stream(request)) as outputs:
            async for output in outputs:
                answer = answers[output.sequence]
                deltas = answer.add(readers[output.sequence].push(output))
                match deltas:
                    case (ContentDelta(text),) if plain is not None and output.finish_reason is None:
                        yield plain[output.sequence].event(text)
                        continue
                if body.counts_on:
                    counts = {"usage": usage([request])}
                for piece in self._pieces(body, output, deltas, answer):
                    yield event({**head, "choices": [piece], **counts})
        if body.includes_usage:
            yield event({**head, "choices": [], "usage": usage([request])})
        yield DONE

    def _pieces(
        self, body: ChatBody, output: RequestOutput, deltas: Sequence[AnswerDelta], answer: Answer
    ) -> list[dict[str, Any]]:
        """The choices of the events of one output: one for each delta, and one for the end."""
        own = [_delta(each) for each in deltas if body.include_reasoning is not False or not _is_reasoning(each)]
        ends = output.finish_reason is not None
        about_tokens = body.return_token_ids or output.request.params.logprobs is not None
        if ends or (about_tokens and not own):
            own.append({})
        pieces: list[dict[str, Any]] = [
            {"index": output.sequence, "delta": delta, "logprobs": None, "finish_reason": None} for delta in own
        ]
        if not pieces:
            return pieces
        # What belongs to the tokens of this output stands in its first event.
        if output.request.params.logprobs is not None and output.log_probs:
            pieces[0]["logprobs"] = chat_log_probs(output.log_probs, self._service.tokenizer)
        if body.return_token_ids:
            pieces[0]["token_ids"] = list(output.tokens)
        if ends:
            pieces[-1]["finish_reason"] = finish_reason(output.finish_reason, has_calls=answer.has_calls)
            if body.return_token_ids:
                pieces[-1]["weights_versions"] = output.request.sequences[output.sequence].weights_versions
            pieces[-1]["stop_reason"] = output.request.sequences[output.sequence].stop_reason
        return pieces


def _is_reasoning(delta: AnswerDelta) -> bool:
    return isinstance(delta, ReasoningDelta)


def _delta(delta: AnswerDelta) -> dict[str, Any]:
    match delta:
        case ContentDelta(text):
            return {"content": text}
        case ReasoningDelta(text):
            return {"reasoning_content": text}
        case CallBegun(index, name, call_id):
            function = {"name": name, "arguments": ""}
            return {"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]}
        case ArgumentsDelta(index, text):
            return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
