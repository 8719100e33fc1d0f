"""The responses that clients may go on from."""

from __future__ import annotations

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


class ResponseStore:
    """Keeps the latest in memory.

    Args:
        most: how many.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._stored: OrderedDict[str, Stored] = OrderedDict()

    def put(self, stored: Stored) -> None:
        """Keep one; the one that was asked for longest ago makes room."""
        self._stored[stored.response["id"]] = stored
        while len(self._stored) > self._most:
            self._stored.popitem(last=False)

    def get(self, response_id: str, param: str | None = None) -> Stored:
        """Return one.

        Raises:
            ApiError: 404, it is not there.
        """
        if response_id not in self._stored:
            message = f"there is no response {response_id!r}: the latest {self._most} are stored, while the server runs"
            raise ApiError(HTTPStatus.NOT_FOUND, message, param=param, code="response_not_found")
        self._stored.move_to_end(response_id)
        return self._stored[response_id]

    def delete(self, response_id: str) -> None:
        """Forget one.

        Raises:
            ApiError: as `get`.
        """
        self.get(response_id)
        del self._stored[response_id]
