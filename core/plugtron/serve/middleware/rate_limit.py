"""How many requests a client may make in a minute."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Sequence
from http import HTTPStatus
from math import ceil
from typing import Self

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from plugtron.contracts.routes import Routes, Service
from plugtron.serve.api_error import ApiError
from plugtron.serve.application import error_response
from plugtron.serve.middleware.api_keys import given_key
from plugtron.serve.options import RateLimitOptions

__all__ = ["RateLimit"]

#: Clients that are remembered, the latest: those who try many addresses must not fill memory.
_CLIENTS = 65536


class RateLimit(Routes):
    """Refuses requests beyond a rate with status 429: a token bucket for each client.

    A client is a key where keys are checked (component `api_keys`), else an address: anybody can make keys up.
    """

    def __init__(self, options: RateLimitOptions, *, by_key: bool) -> None:
        self._options = options
        self._by_key = by_key

    @classmethod
    def assemble(cls, service: Service, options: RateLimitOptions) -> Self:
        """Make it."""
        routes = service.settings["serve"]["routes"]
        names = {(each if isinstance(each, str) else each["name"]).partition("@")[0] for each in routes}
        return cls(options, by_key="api_keys" in names)

    def middleware(self) -> Sequence[Middleware]:
        """The limit, for all that is posted."""
        rate = self._options.requests_per_minute / 60
        return (Middleware(_Limit, rate=rate, burst=self._options.burst, by_key=self._by_key),)


class _Limit:
    def __init__(self, app: ASGIApp, rate: float, burst: int, by_key: bool) -> None:
        self._by_key = by_key
        self._app = app
        self._rate = rate
        self._burst = burst
        # For each client, how many requests it may make now, as of when.
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        wait = self._wait(scope) if scope["type"] == "http" and scope["method"] == "POST" else 0.0
        if wait:
            error = ApiError(
                HTTPStatus.TOO_MANY_REQUESTS,
                f"more than {self._rate * 60:g} requests a minute",
                code="rate_limit_exceeded",
                headers={"Retry-After": str(ceil(wait))},
            )
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _wait(self, scope: Scope) -> float:
        """Take one request off what a client may make; return how many seconds it has to wait if there is none."""
        key = given_key(scope) if self._by_key else None
        client = key or (scope.get("client") or ("",))[0]
        now = time.monotonic()
        left, since = self._left.pop(client, (float(self._burst), now))
        left = min(left + (now - since) * self._rate, self._burst)
        allowed = left >= 1
        self._left[client] = (left - 1 if allowed else left, now)
        if len(self._left) > _CLIENTS:
            self._left.popitem(last=False)
        return 0.0 if allowed else (1 - left) / self._rate
