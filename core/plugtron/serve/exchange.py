"""One request to an ASGI application and its response, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

__all__ = ["Exchange", "exchange"]


@dataclass(slots=True)
class Exchange:
    """What an application has answered: status 0 and nothing where it has not.

    `error` is what it has raised. Starlette raises a defect once more when it has answered with status 500.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    complete: bool = False
    error: Exception | None = None


async def exchange(
    application: Any, method: str, path: str, body: bytes, headers: Mapping[str, str], *, leaves: bool = False
) -> Exchange:
    """Make a request and wait for the whole response.

    Args:
        path: with a query, if there is one.
        headers: by name; of the response, names are in lower case.
        leaves: the client closes the connection as soon as its request is sent; else it never does.
    """
    path, _, query = path.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(path),
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }
    asked = [{"type": "http.request", "body": body, "more_body": False}]
    found, pieces = Exchange(), list[bytes]()

    async def receive() -> dict[str, Any]:
        if not asked and not leaves:
            await asyncio.Event().wait()
        return asked.pop(0) if asked else {"type": "http.disconnect"}

    async def send(message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            found.status = message["status"]
            found.headers = {name.decode().lower(): value.decode() for name, value in message.get("headers", ())}
        else:
            pieces.append(message.get("body", b""))
            found.complete = not message.get("more_body", False)

    try:
        await application(scope, receive, send)
    except Exception as error:  # it is in the result, for the caller to raise
        found.error = error
    found.body = b"".join(pieces)
    return found
