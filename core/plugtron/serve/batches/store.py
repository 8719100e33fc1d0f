"""The folder of batches: a database, the contents of files beside it, and a lock for the one server that uses it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from plugtron.errors import SpecError
from plugtron.serve.batches.batch_table import BatchTable
from plugtron.serve.batches.database import Database
from plugtron.serve.batches.file_table import FileTable

__all__ = ["Store"]

_VERSION = 1
_SCHEMA = """
CREATE TABLE files (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, created INTEGER NOT NULL,
    bytes INTEGER NOT NULL, name TEXT NOT NULL, purpose TEXT NOT NULL);
CREATE TABLE batches (
    number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, input TEXT NOT NULL, ended INTEGER NOT NULL,
    record TEXT NOT NULL, total INTEGER NOT NULL, completed INTEGER NOT NULL, failed INTEGER NOT NULL);
CREATE TABLE results (
    batch INTEGER NOT NULL, line INTEGER NOT NULL, ok INTEGER NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (batch, line)) WITHOUT ROWID
"""


class Store:
    """What batches are kept in, across servers that end in whatever way.

    Args:
        folder: is made where it is not there.

    Raises:
        SpecError: it cannot be used, or another server uses it.
    """

    def __init__(self, folder: Path) -> None:
        contents = folder / "files"
        try:
            contents.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SpecError(f"batches: folder: {folder} cannot be used: {error.strerror}") from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise SpecError(f"batches: folder: another server uses {folder}") from None
        try:
            self._database = Database(folder / "batches.sqlite", _SCHEMA, _VERSION)
        except SpecError:
            os.close(self._lock)
            raise
        self.files = FileTable(self._database, contents)
        self.files.remove_strays()
        self.batches = BatchTable(self._database, self.files)

    def close(self) -> None:
        """Let go of the folder."""
        self._database.close()
        os.close(self._lock)
