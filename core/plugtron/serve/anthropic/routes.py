"""/v1/messages and /v1/messages/count_tokens"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any
from uuid import uuid4

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from plugtron.contracts.routes import Routes
from plugtron.errors import PlugtronError
from plugtron.request.request import FinishReason, InferenceRequest
from plugtron.serve.answer_reader import ToolChoice
from plugtron.serve.anthropic.fields import CountBody, MessagesBody
from plugtron.serve.anthropic.message_request import is_parallel, message_request, tool_choice
from plugtron.serve.api_error import as_api_error
from plugtron.serve.blocks import Block, BlockKind, Blocks, Change, changes, finish
from plugtron.serve.body import read_body
from plugtron.serve.call_arguments import read_written
from plugtron.serve.endpoint import Endpoint
from plugtron.serve.event_stream import EventStream, event, gone, unless_client_leaves
from plugtron.serve.middleware.request_log import note
from plugtron.serve.openai.fields import check_model

__all__ = ["MessagesRoutes"]

_REASONS = {FinishReason.STOP: "end_turn", FinishReason.LENGTH: "max_tokens", FinishReason.DEADLINE: "max_tokens"}


class MessagesRoutes(Routes):
    """Anthropic's messages, whole and streamed, and counting the tokens of a prompt."""

    def routes(self) -> Sequence[Endpoint]:
        """The endpoints."""
        return (
            Endpoint("/v1/messages", _in_their_form(self._answer), "the next message", form=MessagesBody),
            Endpoint(
                "/v1/messages/count_tokens", _in_their_form(self._count), "the tokens of a prompt", form=CountBody
            ),
        )

    async def _count(self, http: Request) -> Response:
        body = await read_body(http, CountBody)
        check_model(self.service, body.model)
        request = message_request(self.service, body, None)
        await self.service.admit(request)
        return JSONResponse({"input_tokens": len(request.prompt_tokens)})

    async def _answer(self, http: Request) -> Response:
        body = await read_body(http, MessagesBody)
        model = check_model(self.service, body.model)
        choice = tool_choice(body)
        request = message_request(self.service, body, choice)
        note(http, [request], model=model, user=(body.metadata or {}).get("user_id"))
        await self.service.admit(request)
        blocks = Blocks(parallel=is_parallel(body))
        message: dict[str, Any] = {
            "id": f"msg_{uuid4().hex[:24]}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
        }
        if body.stream:
            return EventStream(self._events(request, choice, blocks, message))
        if not await unless_client_leaves(http, finish(self.service, request, choice, blocks)):
            return gone()
        content = [_content(block) for block in blocks.all]
        return JSONResponse({**message, "content": content, **_end(request, blocks), "usage": _usage(request)})

    async def _events(
        self, request: InferenceRequest, choice: ToolChoice | None, blocks: Blocks, message: dict[str, Any]
    ) -> AsyncGenerator[bytes, None]:
        begun = {**message, "usage": _usage(request)}
        yield event({"type": "message_start", "message": begun}, "message_start")
        try:
            async with aclosing(changes(self.service, request, choice, blocks)) as found:
                async for change in found:
                    data = _event(change)
                    yield event(data, data["type"])
        except PlugtronError as error:
            yield event(_error(error), "error")
            return
        delta = {"type": "message_delta", "delta": _end(request, blocks), "usage": _usage(request)}
        yield event(delta, "message_delta")
        yield event({"type": "message_stop"}, "message_stop")


def _event(change: Change) -> dict[str, Any]:
    block = change.block
    if change.what == "opened":
        return {"type": "content_block_start", "index": block.index, "content_block": _content(block)}
    if change.what == "closed":
        return {"type": "content_block_stop", "index": block.index}
    kinds = {
        BlockKind.TEXT: {"type": "text_delta", "text": change.text},
        BlockKind.REASONING: {"type": "thinking_delta", "thinking": change.text},
        BlockKind.CALL: {"type": "input_json_delta", "partial_json": change.text},
    }
    return {"type": "content_block_delta", "index": block.index, "delta": kinds[block.kind]}


def _content(block: Block) -> dict[str, Any]:
    match block.kind:
        case BlockKind.TEXT:
            return {"type": "text", "text": block.text}
        case BlockKind.REASONING:
            return {"type": "thinking", "thinking": block.text, "signature": ""}
        case BlockKind.CALL:
            arguments = read_written(block.text) if block.text else {}
            return {"type": "tool_use", "id": block.call_id, "name": block.name, "input": arguments}


def _end(request: InferenceRequest, blocks: Blocks) -> dict[str, Any]:
    reason = request.finish_reason
    word = None if reason is None else _REASONS.get(reason, "end_turn")
    stop = request.stop_reason if isinstance(request.stop_reason, str) else None
    if blocks.has_calls and word == "end_turn":
        return {"stop_reason": "tool_use", "stop_sequence": None}
    return {"stop_reason": word if stop is None else "stop_sequence", "stop_sequence": stop}


def _usage(request: InferenceRequest) -> dict[str, Any]:
    cached = request.cached_tokens
    return {
        "input_tokens": len(request.prompt_tokens) - cached,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": cached,
        "output_tokens": len(request.tokens),
    }


def _error(error: PlugtronError) -> dict[str, Any]:
    told = as_api_error(error)
    kind = {"server_error": "api_error"}.get(told.type, told.type)
    return {"type": "error", "error": {"type": kind, "message": told.message}}


def _in_their_form(endpoint: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
    """Errors in the form of Anthropic's API."""

    async def answer(http: Request) -> Response:
        try:
            return await endpoint(http)
        except PlugtronError as error:
            told = as_api_error(error)
            return JSONResponse(_error(error), status_code=told.status, headers=dict(told.headers))

    return answer
