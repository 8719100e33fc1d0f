"""The arguments that Megatron saves with a checkpoint, as plain data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugtron.errors import CheckpointError
from plugtron.formats.inert_pickle import Record

__all__ = ["plain_arguments"]

#: No argument of Megatron's is nested deeper, or has more entries than a model has layers.
_DEPTH, _LENGTH, _MOST = 4, 10_000, 200_000


def plain_arguments(saved: Any, file: Path) -> dict[str, Any]:
    """Return the arguments in what a checkpoint's file holds; empty when there are none.

    Raises:
        CheckpointError: the file does not hold what Megatron writes.
    """
    if not isinstance(saved, dict):
        raise CheckpointError(f"{file} holds no checkpoint of Megatron's")
    arguments = saved.get("args")
    if arguments is None:
        return {}
    values = arguments.state if isinstance(arguments, Record) else arguments
    if not isinstance(values, dict):
        raise CheckpointError(f"{file}: args are no arguments")
    plain = _Plain()
    try:
        return {str(name): plain.of(value, _DEPTH) for name, value in values.items()}
    except _TooMany:
        raise CheckpointError(f"{file}: its arguments unfold to more than {_MOST} values") from None


class _TooMany(Exception):
    """More values than any arguments have."""


class _Plain:
    """Values as plain data; lists may hold one another any number of times, so that what comes out is counted."""

    def __init__(self) -> None:
        self._left = _MOST

    def of(self, value: Any, depth: int) -> Any:
        """Numbers and texts stay; an enum becomes what it was made of; anything else, or what is too deep, its name."""
        self._left -= 1
        if self._left < 0:
            raise _TooMany
        if depth == 0:
            return type(value).__name__
        if value is None or isinstance(value, bool | int | float | str):
            return value
        if isinstance(value, list | tuple):
            return [self.of(entry, depth - 1) for entry in value[:_LENGTH]]
        if isinstance(value, dict):
            return {str(name): self.of(entry, depth - 1) for name, entry in value.items()}
        if isinstance(value, Record) and len(value.arguments) == 1:
            return self.of(value.arguments[0], depth - 1)
        return str(value)
