"""The log of requests: a line of JSON for each, without what was said, unless that is asked for."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from plugtron.contracts.routes import Routes, Service
from plugtron.errors import SpecError
from plugtron.request.request import InferenceRequest
from plugtron.serve.options import RequestLogOptions

__all__ = ["RequestLog", "note", "noted_requests"]

#: The first status that says that something is wrong.
_BAD = 400
_ID = re.compile(r"[\w.:-]{1,128}", re.ASCII)
#: Where an endpoint leaves what it knows of a request.
_NOTED = "plugtron_noted"


class RequestLog(Routes):
    """Writes a line when a response is complete, and gives each an X-Request-ID: the client's, or a new one."""

    def __init__(self, file: Path | None, quiet_paths: Collection[str], *, with_texts: bool) -> None:
        self._with_texts = with_texts
        self._quiet_paths = frozenset(quiet_paths)
        try:
            self._stream = sys.stderr if file is None else file.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            raise SpecError(f"log: {file}: {error.strerror}") from None
        self._owns = file is not None

    @classmethod
    def assemble(cls, service: Service, options: RequestLogOptions) -> Self:
        """Open the file.

        Raises:
            SpecError: it cannot be written.
        """
        with_texts = bool(service.settings.get("serve", {}).get("log_prompts"))
        file = None if options.file is None else Path(options.file)
        return cls(file, options.quiet_paths, with_texts=with_texts)

    def middleware(self) -> Sequence[Middleware]:
        """What writes the lines."""
        return (Middleware(_Logged, write=self._write, quiet_paths=self._quiet_paths, with_texts=self._with_texts),)

    async def close(self) -> None:
        """Close the file."""
        if self._owns:
            self._stream.close()

    def _write(self, entry: dict[str, Any]) -> None:
        try:
            self._stream.write(json.dumps(entry) + "\n")
        except OSError as error:  # a full disk must not fail requests that are answered
            sys.stderr.write(f"log of requests: {error.strerror}\n")


def note(http: Request, requests: Sequence[InferenceRequest], **about: str | Mapping[str, str] | None) -> None:
    """Say which requests of the engine an HTTP request has made, and what else its line should have."""
    http.scope[_NOTED] = (requests, about)


def noted_requests(scope: Scope) -> Sequence[InferenceRequest]:
    """The requests of the engine that an HTTP request has made."""
    return scope[_NOTED][0] if _NOTED in scope else ()


class _Logged:
    def __init__(
        self, app: ASGIApp, write: Callable[[dict[str, Any]], None], quiet_paths: frozenset[str], with_texts: bool
    ) -> None:
        self._app = app
        self._quiet_paths = quiet_paths
        self._write = write
        self._with_texts = with_texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        request_id = given if _ID.fullmatch(given) else uuid4().hex
        begin, status = time.perf_counter(), 0

        async def with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            await self._app(scope, receive, with_id)
        finally:
            self._log(scope, request_id, status, time.perf_counter() - begin)

    def _log(self, scope: Scope, request_id: str, status: int, seconds: float) -> None:
        if scope["path"] in self._quiet_paths and 0 < status < _BAD:
            return
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "id": request_id,
            "client": (scope.get("client") or (None,))[0],
            "method": scope["method"],
            "path": scope["path"],
            "status": status or None,
            "seconds": round(seconds, 6),
        }
        self._write({**entry, **_noted(scope, with_texts=self._with_texts)})


def _noted(scope: Scope, *, with_texts: bool) -> dict[str, Any]:
    if _NOTED not in scope:
        return {}
    requests, about = scope[_NOTED]
    sequences = [sequence for request in requests for sequence in request.sequences]
    first = [timings.time_to_first_token for request in requests if (timings := request.timings)]
    entry: dict[str, Any] = {
        **{name: value for name, value in about.items() if value is not None},
        "prompt_tokens": sum(len(request.prompt_tokens) for request in requests),
        "cached_tokens": sum(request.cached_tokens for request in requests),
        "completion_tokens": sum(len(sequence.tokens) for sequence in sequences),
        "finish_reasons": [sequence.finish_reason for sequence in sequences],
        "preemptions": sum(request.preemptions for request in requests),
        "time_to_first_token": min((each for each in first if each is not None), default=None),
    }
    errors = [request.error for request in requests if request.error is not None]
    if errors:
        entry["error"] = errors[0]
    if with_texts:
        entry |= {"prompts": [request.prompt for request in requests], "answers": [each.text for each in sequences]}
    return entry
