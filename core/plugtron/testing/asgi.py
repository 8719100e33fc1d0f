"""Asking an ASGI application without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

__all__ = ["Answered", "ask"]


class Answered(NamedTuple):
    """A response."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def ask(
    application: Any,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    leaves: bool = False,
) -> Answered:
    """Make a request and wait for the whole response.

    Args:
        body: bytes as they are; anything else as JSON; None: nothing.
        leaves: the client closes the connection as soon as its request is sent.

    Raises:
        Exception: what the application lets through.
    """
    return asyncio.run(_ask(application, method, path, body, headers, leaves))


async def _ask(
    application: Any, method: str, path: str, body: Any, headers: Mapping[str, str], leaves: bool
) -> Answered:
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    messages = [{"type": "http.request", "body": data, "more_body": False}]
    sent: list[dict[str, Any]] = []
    never = asyncio.Event()

    async def receive() -> dict[str, Any]:
        if not messages and not leaves:
            await never.wait()
        return messages.pop(0) if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    start = next((message for message in sent if message["type"] == "http.response.start"), None)
    if start is None:
        return Answered(0, {}, b"")
    own = {name.decode().lower(): value.decode() for name, value in start["headers"]}
    return Answered(start["status"], own, b"".join(message.get("body", b"") for message in sent))
