"""The responses that clients may go on from."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from plugtron.request.request import Message
from plugtron.serve.api_error import ApiError

__all__ = ["ResponseStore", "Stored"]


@dataclass(frozen=True, slots=True)
class Stored:
    """A response, and the conversation up to its end, without instructions."""

    response: dict[str, Any]
    messages: Sequence[Message]

    @property
    def size(self) -> int:
        """About how many bytes it takes: those of its JSON."""
        return len(json.dumps([self.response, self.messages]))


class ResponseStore:
    """Keeps the latest in memory.

    Args:
        most: how many.
        most_bytes: of all of them together.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._stored: OrderedDict[str, tuple[Stored, int]] = OrderedDict()
        self._bytes = 0

    def put(self, stored: Stored) -> None:
        """Keep one; those that were asked for longest ago make room."""
        size = stored.size
        self._stored[stored.response["id"]] = stored, size
        self._bytes += size
        while self._stored and (len(self._stored) > self._most or self._bytes > self._most_bytes):
            _, (_, freed) = self._stored.popitem(last=False)
            self._bytes -= freed

    def get(self, response_id: str, param: str | None = None) -> Stored:
        """Return one.

        Raises:
            ApiError: 404, it is not there.
        """
        if response_id not in self._stored:
            kept = f"the latest {self._most}, {self._most_bytes} bytes in all"
            message = f"there is no response {response_id!r}: {kept}, are stored while the server runs"
            raise ApiError(HTTPStatus.NOT_FOUND, message, param=param, code="response_not_found")
        self._stored.move_to_end(response_id)
        return self._stored[response_id][0]

    def delete(self, response_id: str) -> None:
        """Forget one.

        Raises:
            ApiError: as `get`.
        """
        self.get(response_id)
        self._bytes -= self._stored.pop(response_id)[1]
