"""A server of OpenAI's form, asked with Python's own HTTP client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from http.client import HTTPException, HTTPResponse
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from plugtron.errors import EngineError, RequestError

__all__ = ["HttpApi", "NotThere"]

#: Characters of a body that is no error in JSON.
_SHOWN = 200
_END = b"[DONE]"


class NotThere(RequestError):
    """The server has no such endpoint."""


class _NoRedirects(HTTPRedirectHandler):
    """Another server must not get the key."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: Any, newurl: str
    ) -> Request | None:
        """Go nowhere: the status is an error."""
        del req, fp, code, msg, headers, newurl


class HttpApi:
    """Asks a server.

    Args:
        url: where it is, with or without the /v1 of its endpoints.
        key: what it wants to see, if anything.

    Raises:
        RequestError: the address is none of HTTP.
    """

    def __init__(self, url: str, key: str | None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise RequestError(f"{url}: must be an address such as http://127.0.0.1:8000")
        self.root = url.rstrip("/").removesuffix("/v1")
        self._base = self.root + "/v1" if parts.path.rstrip("/") in ("", "/v1") else url.rstrip("/")
        self._headers = {"Content-Type": "application/json"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._opener = build_opener(_NoRedirects)

    def get(self, path: str) -> Any:
        """Get data; a path that begins with / is the server's, any other one the API's.

        Raises:
            NotThere, RequestError, EngineError: as `events`.
        """
        with self._open(path, None) as response:
            return self._json(response.read())

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """Send data, and get some.

        Raises:
            NotThere, RequestError, EngineError: as `events`.
        """
        with self._open(path, body) as response:
            return self._json(response.read())

    def events(self, path: str, body: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        """Send data, and get events as they come. Closing the iterator closes the connection.

        Raises:
            NotThere: the server has no such endpoint.
            RequestError: it refuses the request.
            EngineError: it cannot be reached, fails, or sends what is no answer.
        """
        with self._open(path, body) as response:
            for line in response:
                field, _, data = line.strip().partition(b":")
                data = data.strip()
                if field != b"data" or not data:
                    continue
                if data == _END:
                    return
                event = self._json(data)
                if not isinstance(event, dict):
                    raise EngineError(f"{self._base}: an event is no mapping: {data[:_SHOWN]!r}")
                if event.get("error"):
                    raise EngineError(f"{self._base}: {_message(data)}")
                yield event
            raise EngineError(f"{self._base}: the answer ended without an end")

    @contextmanager
    def _open(self, path: str, body: Mapping[str, Any] | None) -> Iterator[HTTPResponse]:
        url = self.root + path if path.startswith("/") else f"{self._base}/{path}"
        data = None if body is None else json.dumps(body).encode()
        try:
            with closing(self._opener.open(Request(url, data, self._headers))) as response:
                yield response
        except HTTPError as error:
            with error:
                text = _message(error.read())
            if error.code in (404, 405):
                raise NotThere(text or f"{url}: status {error.code}") from None
            if error.code < 500 and text:
                raise RequestError(text) from None
            raise EngineError(f"{url}: status {error.code}: {text}") from None
        except URLError as error:
            raise EngineError(f"{url}: {error.reason}") from None
        except (HTTPException, OSError) as error:
            raise EngineError(f"{url}: the connection broke: {error or type(error).__name__}") from None

    def _json(self, data: bytes) -> Any:
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            raise EngineError(f"{self._base}: is no JSON: {data[:_SHOWN]!r}") from None


def _message(body: bytes) -> str:
    """What an error says, in OpenAI's form or in another."""
    try:
        found = json.loads(body)["error"]
        return str(found["message"] if isinstance(found, dict) else found)
    except (ValueError, KeyError, TypeError):
        return body[:_SHOWN].decode(errors="replace")
