"""Standard output kept for results: what plugins print, their C code and subprocesses too, goes to standard error."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from plugtron.errors import OutputError

__all__ = ["StandardOutput", "kept_stdout"]

_NAME = "standard output"


@dataclass(frozen=True, slots=True)
class StandardOutput:
    """What the caller of the command reads; `descriptor` is None where it was closed."""

    descriptor: int | None

    def file_descriptor(self) -> int:
        """The descriptor.

        Raises:
            OutputError: it was closed before the command began.
        """
        if self.descriptor is None:
            raise OutputError(f"{_NAME}: it is closed")
        return self.descriptor

    @property
    def is_terminal(self) -> bool:
        """Whether somebody watches."""
        return self.descriptor is not None and os.isatty(self.descriptor)

    def write(self, text: str) -> None:
        """Write at once.

        Raises:
            OutputError: it cannot be written.
        """
        data = text.encode(errors="replace")
        try:
            while data:
                data = data[os.write(self.file_descriptor(), data) :]
        except OSError as error:
            raise OutputError(f"{_NAME}: cannot write: {error.strerror}") from None


@contextmanager
def kept_stdout() -> Iterator[StandardOutput]:
    """Standard output, for results alone; until the end its descriptor is standard error's, for all others."""
    if sys.stdout is None:
        yield StandardOutput(None)
        return
    sys.stdout.flush()
    kept = os.dup(1)
    if sys.stderr is None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.close(nowhere)
    else:
        os.dup2(2, 1)
    try:
        yield StandardOutput(kept)
    finally:
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)  # what C code has printed and kept back
        os.dup2(kept, 1)
        os.close(kept)
