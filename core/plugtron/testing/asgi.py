"""Asking an ASGI application without a network."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from plugtron.serve.exchange import Exchange, exchange

__all__ = ["ask"]


def ask(
    application: Any,
    method: str,
    path: str,
    body: Any = None,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    leaves: bool = False,
) -> Exchange:
    """Make a request and wait for the whole response.

    Args:
        body: bytes as they are; anything else as JSON; None: nothing.
        leaves: the client closes the connection as soon as its request is sent.

    Raises:
        Exception: what the application lets through.
    """
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    found = asyncio.run(exchange(application, method, path, data, headers, leaves=leaves))
    if found.error is not None:
        raise found.error
    return found
