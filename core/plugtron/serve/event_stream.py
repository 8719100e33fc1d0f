"""Answers as they are made: server-sent events, ended when the client leaves."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Coroutine, Mapping
from contextlib import aclosing, suppress
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from plugtron.errors import PlugtronError
from plugtron.serve.api_error import as_api_error

__all__ = ["DONE", "EventStream", "TextEvents", "event", "gone", "unless_client_leaves"]

#: What ends a stream of OpenAI's API.
DONE = b"data: [DONE]\n\n"
_Result = TypeVar("_Result")


def event(data: Mapping[str, Any], name: str | None = None) -> bytes:
    """An event with JSON in it."""
    head = "" if name is None else f"event: {name}\n"
    return f"{head}data: {json.dumps(data)}\n\n".encode()


class TextEvents:
    """Events that differ in one text alone, as most of a stream's do: the rest is written once.

    Args:
        data: an event with `TextEvents.HOLE` where the text belongs.
    """

    HOLE = "\x00"

    def __init__(self, data: Mapping[str, Any]) -> None:
        before, _, after = json.dumps(data).partition(json.dumps(self.HOLE))
        self._before, self._after = f"data: {before}", f"{after}\n\n"

    def event(self, text: str) -> bytes:
        """The event with this text."""
        return f"{self._before}{json.dumps(text)}{self._after}".encode()


class EventStream(Response):
    """Sends events as an iterator makes them. A client that leaves, or reads no more, closes the iterator.

    An error of plugtron becomes the stream's last event: its status has been sent already.
    """

    media_type = "text/event-stream"

    def __init__(self, events: AsyncGenerator[bytes, None]) -> None:
        super().__init__(headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._events = events

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, as an ASGI application."""
        del scope
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _first(self._send(send), _gone(receive))

    async def _send(self, send: Send) -> None:
        try:
            async with aclosing(self._events) as events:
                async for data in events:
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        except PlugtronError as error:
            data = event(as_api_error(error).body())
            await send({"type": "http.response.body", "body": data, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def gone() -> Response:
    """The response that nobody is there to read. Its status is nginx's for a client that has closed the connection."""
    return Response(status_code=499)


async def unless_client_leaves(request: Request, work: Coroutine[Any, Any, _Result]) -> _Result | None:
    """Do work whose result one client waits for; when it leaves, the work is cancelled, and the result is None.

    The body of the request must have been read.
    """
    return await _first(work, _gone(request.receive))


async def _first(work: Coroutine[Any, Any, _Result], end: Coroutine[Any, Any, None]) -> _Result | None:
    """Do work unless something else ends before it does."""
    doing, ending = asyncio.ensure_future(work), asyncio.ensure_future(end)
    try:
        await asyncio.wait((doing, ending), return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else None
    finally:
        for task in (doing, ending):
            task.cancel()
        with suppress(asyncio.CancelledError, PlugtronError):
            await doing


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
