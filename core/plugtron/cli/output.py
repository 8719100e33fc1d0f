"""Where results go: a file or standard output, line by line, whole lines only."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Self

from plugtron.cli.stdout import StandardOutput
from plugtron.errors import OutputError, Problem, SpecError

__all__ = ["Output"]

#: Names of descriptor 1, which is not standard output while that is kept for results.
_OF_STDOUT = ("/dev/stdout", "/dev/fd/1", "/proc/self/fd/1")


class Output:
    """A place for results. Each line is there, whole, when `write` returns.

    Args:
        path: a file, a pipe, a device; None: standard output.
        stdout: what is kept of standard output.
        inputs: files that results must not replace.

    Raises:
        SpecError: it cannot be written, is one of the inputs, or another run is writing to it.
    """

    def __init__(self, path: Path | None, stdout: StandardOutput, inputs: Iterable[Path] = ()) -> None:
        named = path
        if str(path) in _OF_STDOUT:
            path = Path(f"/dev/fd/{stdout.file_descriptor()}")
        self.path = path
        self._stdout = stdout
        self._name = "standard output" if path is None else f"output.file: {named}"
        if path is None:
            self._descriptor = stdout.file_descriptor()
            self._regular, self._appends = False, True
            return
        try:
            for other in inputs:
                if path.exists() and other.exists() and path.samefile(other):
                    raise SpecError([Problem("output.file", f"{named} is {other}, which is read: name another file")])
            self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            raise SpecError([Problem("output.file", f"cannot write {named}: {error.strerror}")]) from None
        self._appends = self._is_standard_output()
        self._regular = stat.S_ISREG(os.fstat(self._descriptor).st_mode)
        if self._regular:
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                os.close(self._descriptor)
                raise SpecError([Problem("output.file", f"another run is writing to {named}")]) from None

    def begin(self) -> None:
        """Empty a file; not before there is something to put in it. What is no file is just written to."""
        self.keep(0)

    def keep(self, size: int) -> None:
        """Go on with what a file has: keep its first `size` bytes."""
        if self.is_file:
            os.ftruncate(self._descriptor, size)

    @property
    def is_file(self) -> bool:
        """Whether what has been written can be read again, and taken back."""
        return self._regular and not self._appends

    def write(self, line: str) -> None:
        """Write a line.

        Raises:
            OutputError: it cannot be written; of a file the part of it that could is taken back.
        """
        data = f"{line}\n".encode()
        size = os.fstat(self._descriptor).st_size if self._regular else 0
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
            if self._regular and self.path is not None and not self._is_there(self.path):
                raise FileNotFoundError(0, "another file has taken its place")
        except OSError as error:
            if self._regular:
                os.ftruncate(self._descriptor, size)
            raise OutputError(f"{self._name}: cannot write: {error.strerror}") from None

    def _is_standard_output(self) -> bool:
        """Whether the path is another name of the file that the shell has opened, perhaps to append to it."""
        with contextlib.suppress(OSError, OutputError):  # it may be closed
            return os.path.samestat(os.fstat(self._stdout.file_descriptor()), os.fstat(self._descriptor))
        return False

    def _is_there(self, path: Path) -> bool:
        return os.path.samestat(path.stat(), os.fstat(self._descriptor))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self.path is not None:
            os.close(self._descriptor)
