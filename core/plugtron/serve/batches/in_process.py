"""Asking the server's endpoints without a connection: the same code answers, and nothing travels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Scope

__all__ = ["Answered", "InProcess"]

#: What says that the same request may be answered later, and how often it is asked again.
_ATTEMPTS: Mapping[int, int] = {HTTPStatus.TOO_MANY_REQUESTS: 200, HTTPStatus.SERVICE_UNAVAILABLE: 3}
#: Seconds from one attempt to the next: at first, and at the most.
_PAUSE_S, _MAX_PAUSE_S = 0.25, 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What an endpoint has answered; `body` is one line of JSON. `number` is of no other answer."""

    number: str
    status: int
    request_id: str
    body: str

    @property
    def ok(self) -> bool:
        """Whether it is an answer, and no error."""
        return self.status < HTTPStatus.BAD_REQUEST


class InProcess:
    """Posts to the endpoints of an application."""

    def __init__(self, endpoints: ASGIApp) -> None:
        self._endpoints = endpoints

    async def post(self, path: str, body: Mapping[str, Any]) -> Answered:
        """Ask an endpoint; again after a pause, while the server has no room."""
        raw = json.dumps(body).encode()
        pause, attempts = _PAUSE_S, 1
        while True:
            answer = await self._post_once(path, raw)
            if attempts >= _ATTEMPTS.get(answer.status, 0):
                return answer
            await asyncio.sleep(pause)
            pause, attempts = min(2 * pause, _MAX_PAUSE_S), attempts + 1

    async def _post_once(self, path: str, raw: bytes) -> Answered:
        call = _Call(raw)
        try:
            await self._endpoints(_scope(path, len(raw)), call.receive, call.send)
        except Exception:
            # Starlette raises a defect once more when it has answered with status 500 and written the log.
            if not call.complete:
                raise
        headers, number = Headers(raw=call.headers), uuid4().hex
        return Answered(
            number=number,
            status=call.status,
            request_id=headers.get("x-request-id") or number,
            body=_one_line(headers, b"".join(call.pieces)),
        )


class _Call:
    """One request and its response."""

    def __init__(self, raw: bytes) -> None:
        self._request: Message | None = {"type": "http.request", "body": raw, "more_body": False}
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.pieces: list[bytes] = []
        self.complete = False

    async def receive(self) -> Message:
        request, self._request = self._request, None
        if request is None:
            await asyncio.Event().wait()  # this client never leaves
        assert request is not None
        return request

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = list(message.get("headers", ()))
        else:
            self.pieces.append(message.get("body", b""))
            self.complete = not message.get("more_body", False)


def _scope(path: str, length: int) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(b"content-type", b"application/json"), (b"content-length", str(length).encode())],
        "client": None,
        "server": None,
    }


def _one_line(headers: Headers, body: bytes) -> str:
    """JSON as it came, without line breaks; what is no JSON becomes a text of it."""
    text = body.decode("utf-8", errors="replace")
    if not headers.get("content-type", "").startswith("application/json"):
        return json.dumps(text)
    return json.dumps(json.loads(text)) if "\n" in text or "\r" in text else text
