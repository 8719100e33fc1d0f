"""What a disk runs into, for clients."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus

from plugtron.serve.api_error import ApiError

__all__ = ["StorageError", "storage_errors"]


class StorageError(ApiError):
    """What was sent could not be kept: status 507, and nothing of it is there."""

    def __init__(self, reason: str) -> None:
        super().__init__(HTTPStatus.INSUFFICIENT_STORAGE, f"it cannot be stored: {reason}", code="storage_error")


@contextmanager
def storage_errors() -> Iterator[None]:
    """Turn what writing a file raises into a StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(error.strerror or str(error)) from error
