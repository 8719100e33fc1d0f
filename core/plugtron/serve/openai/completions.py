"""/v1/completions"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.routes import Service
from plugtron.errors import RequestError
from plugtron.request.request import InferenceRequest, InferenceSequence, LogProbs, RequestOutput
from plugtron.serve.body import read_body
from plugtron.serve.event_stream import DONE, EventStream, TextEvents, event, gone, unless_client_leaves
from plugtron.serve.merged import merged
from plugtron.serve.middleware.request_log import note
from plugtron.serve.openai.fields import CompletionBody, check_model, check_number
from plugtron.serve.openai.log_probs import completion_log_probs
from plugtron.serve.openai.prompts import prompts_of
from plugtron.serve.openai.text_places import TextPlaces
from plugtron.serve.openai.usage import finish_reason, usage

__all__ = ["Completions"]


class Completions:
    """The endpoint: texts that go on from prompts."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def answer(self, http: Request) -> Response:
        """Answer a request."""
        body = await read_body(http, CompletionBody)
        model = check_model(self._service, body.model)
        requests = self._requests(body)
        head = {"id": f"cmpl-{uuid4().hex}", "object": "text_completion", "created": int(time.time()), "model": model}
        note(http, requests, model=model, user=body.user)
        for request in requests:
            await self._service.admit(request)
        if body.stream:
            return EventStream(self._events(requests, body, head))
        if not await unless_client_leaves(http, _finish(self._service, requests)):
            return gone()
        choices = [
            self._choice(body, request, sequence, place)
            for place, (request, sequence) in enumerate(
                (request, sequence) for request in requests for sequence in request.sequences
            )
        ]
        return JSONResponse({**head, "choices": choices, "usage": usage(requests)})

    def _requests(self, body: CompletionBody) -> list[InferenceRequest]:
        parameters = body.parameters
        if body.stream and not (parameters.get("echo") and parameters.get("logprobs") is not None):
            body.refuse_unread("prompt_logprobs")
        if body.best_of is not None and body.best_of != parameters.get("n", 1):
            raise RequestError(f"best_of: {body.best_of} answers are not ranked here; n gives several answers")
        if parameters.get("echo") and parameters.get("logprobs") is not None:
            # OpenAI's echo has the log probabilities of the prompt, too.
            parameters = {"prompt_logprobs": parameters["logprobs"], **parameters}
        prompts = prompts_of(body.prompt)
        check_number(self._service, len(prompts), "prompt")
        return [body.request(self._service, prompt, parameters) for prompt in prompts]

    def _choice(
        self, body: CompletionBody, request: InferenceRequest, sequence: InferenceSequence, place: int
    ) -> dict[str, Any]:
        choice: dict[str, Any] = {
            "index": place,
            "text": sequence.text,
            "logprobs": None,
            "finish_reason": finish_reason(sequence.finish_reason),
            "stop_reason": sequence.stop_reason,
        }
        if request.params.logprobs is not None:
            entries: list[LogProbs | None] = list(sequence.log_probs)
            if request.params.echo:
                entries = [*request.prompt_log_probs, *entries]
            choice["logprobs"] = completion_log_probs(entries, self._unreported(request), self._places(request))
        elif request.params.prompt_logprobs is not None:
            choice["prompt_logprobs"] = [entry and entry.to_dict() for entry in request.prompt_log_probs]
        if body.return_token_ids:
            choice |= {"token_ids": sequence.tokens, "prompt_token_ids": request.prompt_tokens}
            choice["weights_versions"] = sequence.weights_versions
        return choice

    def _places(self, request: InferenceRequest) -> TextPlaces:
        skip_special = request.params.skip_special_tokens is not False
        return TextPlaces(self._service.tokenizer, skip_special=skip_special)

    def _unreported(self, request: InferenceRequest) -> list[tuple[int, str]]:
        """The prompt's tokens that have no log probability, and their texts."""
        tokenizer = self._service.tokenizer
        places = [place for place, entry in enumerate(request.prompt_log_probs) if entry is None]
        tokens = [request.prompt_tokens[place] for place in places]
        return [
            (token, f"token_id:{token}" if tokenizer is None else tokenizer.decode([token], skip_special=False))
            for token in tokens
        ]

    async def _events(
        self, requests: Sequence[InferenceRequest], body: CompletionBody, head: dict[str, Any]
    ) -> AsyncGenerator[bytes, None]:
        answers = requests[0].params.answers
        total = answers * len(requests)
        # Of the answers whose first event has been sent: where their tokens stand.
        begun: dict[int, TextPlaces] = {}
        plain = None
        if not (body.return_token_ids or body.counts_on or requests[0].params.logprobs is not None):
            plain = [TextEvents({**head, "choices": [_choice_of(place, TextEvents.HOLE)]}) for place in range(total)]
        async with aclosing(merged(self._service, requests)) as outputs:
            async for number, output in outputs:
                place = number * answers + output.sequence
                if plain is not None and output.finish_reason is None:
                    yield plain[place].event(output.text)
                    continue
                is_first = place not in begun
                if is_first:
                    begun[place] = self._places(output.request)
                choice = self._delta(output, place, begun[place], is_first=is_first)
                if body.return_token_ids:
                    choice["token_ids"] = list(output.tokens)
                    if is_first:
                        choice["prompt_token_ids"] = output.request.prompt_tokens
                    if output.finish_reason is not None:
                        choice["weights_versions"] = output.request.sequences[output.sequence].weights_versions
                counts = {"usage": usage(requests)} if body.counts_on else {}
                yield event({**head, "choices": [choice], **counts})
        if body.includes_usage:
            yield event({**head, "choices": [], "usage": usage(requests)})
        yield DONE

    def _delta(self, output: RequestOutput, place: int, places: TextPlaces, *, is_first: bool) -> dict[str, Any]:
        """The choice of an event, perhaps of the first of an answer."""
        choice = _choice_of(place, output.text)
        choice["finish_reason"] = finish_reason(output.finish_reason)
        if output.finish_reason is not None and output.request.sequences:
            choice["stop_reason"] = output.request.sequences[output.sequence].stop_reason
        params = output.request.params
        if params.logprobs is not None:
            entries: list[LogProbs | None] = list(output.log_probs)
            if params.echo and is_first:
                entries = [*output.request.prompt_log_probs, *entries]
            choice["logprobs"] = completion_log_probs(entries, self._unreported(output.request), places)
        return choice


async def _finish(service: Service, requests: Sequence[InferenceRequest]) -> bool:
    if len(requests) == 1:
        await service.generate(requests[0])
        return True
    running = [asyncio.ensure_future(service.generate(request)) for request in requests]
    try:
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    return True


def _choice_of(place: int, text: str) -> dict[str, Any]:
    return {"index": place, "text": text, "logprobs": None, "finish_reason": None}
