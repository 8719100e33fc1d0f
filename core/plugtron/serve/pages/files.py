"""The files of the pages, as responses."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import Response

__all__ = ["GUARD", "PageFile", "page_files"]

#: What a browser may do with all that the pages answer: everything comes from this server, and no text is a script.
GUARD: Mapping[str, str] = MappingProxyType(
    {
        "Content-Security-Policy": "default-src 'self'; object-src 'none'; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
)
_TYPES: Mapping[str, str] = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


class PageFile:
    """One file, held in memory, as an endpoint."""

    def __init__(self, name: str, content: bytes) -> None:
        suffix = name[name.rindex(".") :]
        self._content = content
        self._type = _TYPES[suffix]
        self._etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'

    async def answer(self, http: Request) -> Response:
        """The file, or 304 to a browser that has it."""
        headers = {**GUARD, "ETag": self._etag, "Cache-Control": "no-cache"}
        known = [each.strip().removeprefix("W/") for each in http.headers.get("if-none-match", "").split(",")]
        if self._etag in known or "*" in known:
            return Response(status_code=304, headers=headers)
        return Response(self._content, media_type=self._type, headers=headers)


def page_files() -> dict[str, PageFile]:
    """All files by name. They are read once: what is asked for later is looked up here, never on the disk."""
    folder = files("plugtron.serve.pages") / "static"
    return {file.name: PageFile(file.name, file.read_bytes()) for file in folder.iterdir() if file.is_file()}
