"""Responses as data: the whole, and the events that build it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import uuid4

from plugtron.contracts.tokenizer import Tokenizer
from plugtron.request.request import FinishReason, InferenceRequest
from plugtron.serve.blocks import Block, BlockKind, Change
from plugtron.serve.openai.log_probs import chat_log_probs
from plugtron.serve.responses.fields import ResponsesBody

__all__ = ["ResponseForm"]

_IDS = {BlockKind.TEXT: "msg", BlockKind.REASONING: "rs", BlockKind.CALL: "fc"}


class ResponseForm:
    """One response in the making, as OpenAI's API writes it."""

    def __init__(self, body: ResponsesBody, model: str, request: InferenceRequest, tokenizer: Tokenizer | None) -> None:
        self.id = f"resp_{uuid4().hex}"
        self._body = body
        self._model = model
        self._request = request
        self._tokenizer = tokenizer
        self._created = int(time.time())
        self._ids: dict[int, str] = {}

    def whole(self, blocks: Sequence[Block], status: str | None = None) -> dict[str, Any]:
        """The response with what there is of it; `status` for one that goes on or has failed."""
        body, params = self._body, self._request.params
        cut = self._request.finish_reason in (FinishReason.LENGTH, FinishReason.DEADLINE)
        ended = "incomplete" if cut else "completed"
        status = status or ended
        tools = [tool.model_dump() for tool in body.tools or ()]
        return {
            "id": self.id,
            "object": "response",
            "created_at": self._created,
            "status": status,
            "background": False,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": body.instructions,
            "max_output_tokens": body.max_output_tokens,
            "metadata": body.metadata or {},
            "model": self._model,
            "output": [self.item(block, "completed") for block in blocks],
            "parallel_tool_calls": body.parallel_tool_calls is not False,
            "previous_response_id": body.previous_response_id,
            "reasoning": {"effort": body.reasoning.effort if body.reasoning else None, "summary": None},
            "store": body.store is not False,
            "temperature": params.temperature,
            "text": {"format": (body.text and body.text.format) or {"type": "text"}},
            "tool_choice": body.tool_choice or "auto",
            "tools": tools,
            "top_p": params.top_p if params.top_p is not None else 1.0,
            "truncation": "disabled",
            "usage": None if status == "in_progress" else self._usage(),
            "user": body.user,
        }

    def item(self, block: Block, status: str) -> dict[str, Any]:
        """A block as an output item."""
        item_id = self._id(block)
        match block.kind:
            case BlockKind.TEXT:
                content = [self._part(block)] if status == "completed" else []
                return {
                    "id": item_id,
                    "type": "message",
                    "status": status,
                    "role": "assistant",
                    "content": content,
                }
            case BlockKind.REASONING:
                content = [self._part(block)] if status == "completed" else []
                return {"id": item_id, "type": "reasoning", "status": status, "summary": [], "content": content}
            case BlockKind.CALL:
                return {
                    "id": item_id,
                    "type": "function_call",
                    "status": status,
                    "call_id": block.call_id,
                    "name": block.name,
                    "arguments": block.text,
                }

    def events(self, change: Change) -> Iterator[dict[str, Any]]:
        """What a change is in a stream, without the numbers of the events."""
        block = change.block
        place = {"item_id": self._id(block), "output_index": block.index}
        inner = {**place, "content_index": 0}
        kind = "output_text" if block.kind is BlockKind.TEXT else "reasoning_text"
        is_call = block.kind is BlockKind.CALL
        extra = {"logprobs": []} if block.kind is BlockKind.TEXT else {}
        if change.what == "opened":
            item = self.item(block, "in_progress")
            yield {"type": "response.output_item.added", "output_index": block.index, "item": item}
            if not is_call:
                yield {"type": "response.content_part.added", **inner, "part": self._part(block)}
        elif change.what == "grew" and is_call:
            yield {"type": "response.function_call_arguments.delta", **place, "delta": change.text}
        elif change.what == "grew":
            yield {"type": f"response.{kind}.delta", **inner, "delta": change.text, **extra}
        else:
            if is_call:
                done = {"arguments": block.text, "name": block.name}
                yield {"type": "response.function_call_arguments.done", **place, **done}
            else:
                yield {"type": f"response.{kind}.done", **inner, "text": block.text, **extra}
                yield {"type": "response.content_part.done", **inner, "part": self._part(block)}
            item = self.item(block, "completed")
            yield {"type": "response.output_item.done", "output_index": block.index, "item": item}

    def _part(self, block: Block) -> dict[str, Any]:
        if block.kind is BlockKind.REASONING:
            return {"type": "reasoning_text", "text": block.text}
        reported = self._request.params.logprobs is not None and self._request.finish_reason is not None
        entries = chat_log_probs(self._request.log_probs, self._tokenizer)["content"] if reported else []
        return {"type": "output_text", "text": block.text, "annotations": [], "logprobs": entries}

    def _id(self, block: Block) -> str:
        return self._ids.setdefault(block.index, f"{_IDS[block.kind]}_{uuid4().hex}")

    def _usage(self) -> dict[str, Any]:
        prompt, answer = len(self._request.prompt_tokens), len(self._request.tokens)
        return {
            "input_tokens": prompt,
            "input_tokens_details": {"cached_tokens": self._request.cached_tokens},
            "output_tokens": answer,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": prompt + answer,
        }
