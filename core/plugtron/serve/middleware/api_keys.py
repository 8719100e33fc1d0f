"""Keys that clients must send."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Self

from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from plugtron.contracts.routes import Routes, Service
from plugtron.errors import SpecError
from plugtron.serve.api_error import ApiError
from plugtron.serve.application import error_response
from plugtron.serve.options import ApiKeyOptions

__all__ = ["ApiKeys", "given_key"]

_BEARER = "bearer "


class ApiKeys(Routes):
    """Refuses requests without one of the keys with status 401."""

    def __init__(self, digests: Sequence[bytes], open_paths: Sequence[str]) -> None:
        self._digests = digests
        self._open_paths = open_paths

    @classmethod
    def assemble(cls, service: Service, options: ApiKeyOptions) -> Self:
        """Read the keys.

        Raises:
            SpecError: there is none, or the file cannot be read.
        """
        del service
        keys = _keys_of(options)
        if not keys:
            raise SpecError(
                f"api_keys: there is no key (accepted: the variable {options.environment}, or a file of keys)"
            )
        return cls([_digest(key) for key in keys], options.open_paths)

    def middleware(self) -> Sequence[Middleware]:
        """The guard."""
        return (Middleware(_Guard, digests=self._digests, open_paths=self._open_paths),)


class _Guard:
    def __init__(self, app: ASGIApp, digests: Sequence[bytes], open_paths: Sequence[str]) -> None:
        self._app = app
        self._digests = digests
        self._open_paths = frozenset(path for path in open_paths if not path.endswith("*"))
        self._open_prefixes = tuple(path[:-1] for path in open_paths if path.endswith("*"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not self._is_open(scope) and not self._knows(given_key(scope)):
            error = ApiError(
                HTTPStatus.UNAUTHORIZED,
                "no valid API key was sent (Authorization: Bearer KEY)",
                code="invalid_api_key",
                headers={"WWW-Authenticate": "Bearer"},
            )
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        path = scope["path"]
        # Browsers ask with OPTIONS, without a key, whether they may ask.
        return scope["method"] == "OPTIONS" or path in self._open_paths or path.startswith(self._open_prefixes)

    def _knows(self, key: str | None) -> bool:
        if key is None:
            return False
        digest = _digest(key)
        # All of them, so that the time taken says nothing of which one it is like.
        return sum([hmac.compare_digest(digest, each) for each in self._digests]) > 0


def given_key(scope: Scope) -> str | None:
    """The key that a client has sent, as OpenAI's clients or Anthropic's do."""
    headers = Headers(scope=scope)
    authorization = headers.get("authorization", "")
    if authorization[: len(_BEARER)].lower() == _BEARER:
        return authorization[len(_BEARER) :].strip()
    return headers.get("x-api-key")


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", errors="surrogateescape")).digest()


def _keys_of(options: ApiKeyOptions) -> list[str]:
    keys = [os.environ.get(options.environment, "")]
    if options.file is not None:
        try:
            keys += Path(options.file).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8 text"
            raise SpecError(f"api_keys: {options.file}: {reason}") from None
    return [key.strip() for key in keys if key.strip()]
