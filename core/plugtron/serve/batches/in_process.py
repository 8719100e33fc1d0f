"""Asking the server's endpoints without a connection: the same code answers, and nothing travels."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import uuid4

from starlette.types import ASGIApp

from plugtron.serve.exchange import Exchange, exchange

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
        sent = {"content-type": "application/json", "content-length": str(len(raw))}
        found = await exchange(self._endpoints, "POST", path, raw, sent)
        if found.error is not None and not found.complete:
            raise found.error
        number = uuid4().hex
        return Answered(
            number=number,
            status=found.status,
            request_id=found.headers.get("x-request-id", number),
            body=_one_line(found),
        )


def _one_line(found: Exchange) -> str:
    """JSON as it came, without line breaks; what is no JSON becomes a text of it."""
    text = found.body.decode("utf-8", errors="replace")
    if not found.headers.get("content-type", "").startswith("application/json"):
        return json.dumps(text)
    return json.dumps(json.loads(text)) if "\n" in text or "\r" in text else text
