"""An embedded database with one thread that reads and writes: what comes in meanwhile is one transaction."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from http import HTTPStatus
from pathlib import Path
from typing import Any, TypeVar

from plugtron.errors import SpecError
from plugtron.serve.api_error import ApiError
from plugtron.serve.batches.storage import StorageError

__all__ = ["Database"]

_Result = TypeVar("_Result")
_Work = Callable[[sqlite3.Connection], Any]


class Database:
    """SQLite in a file. What a call has done is on the disk when it returns, and none of it is where it raises.

    Args:
        schema: statements that make the tables where there are none.
        version: of the tables; a file with another one is refused.

    Raises:
        SpecError: the file is no such database, or cannot be opened.
    """

    def __init__(self, file: Path, schema: str, version: int) -> None:
        try:
            self._connection = _opened(file, schema, version)
        except sqlite3.Error as error:
            raise SpecError(f"{file}: cannot be used: {error}") from None
        self._changed = threading.Condition()
        self._incoming: list[tuple[_Work, Future[Any]]] = []
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="plugtron-database", daemon=True)
        self._thread.start()

    async def call(self, work: Callable[[sqlite3.Connection], _Result]) -> _Result:
        """Have the thread do some work with the connection, as a whole or not at all.

        Raises:
            StorageError: the disk is full, or cannot be written.
            Exception: what the work raises.
        """
        return await asyncio.wrap_future(self.submit(work))

    def submit(self, work: Callable[[sqlite3.Connection], _Result]) -> Future[_Result]:
        """Begin a call."""
        future: Future[_Result] = Future()
        with self._changed:
            if self._closing:
                raise ApiError(HTTPStatus.SERVICE_UNAVAILABLE, "the server is stopping", code="unavailable")
            self._incoming.append((work, future))
            self._changed.notify()
        return future

    def close(self) -> None:
        """Do what has come in, and close the file."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._incoming or self._closing):
                    self._changed.wait()
                taken, self._incoming = self._incoming, []
            if not taken:
                return
            self._do([(work, future) for work, future in taken if future.set_running_or_notify_cancel()])

    def _do(self, taken: list[tuple[_Work, Future[Any]]]) -> None:
        """Do several calls in one transaction, because writing it to the disk takes the longest."""
        results: list[tuple[Future[Any], Any]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for work, future in taken:
                results += self._do_one(work, future)
            self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            left = [(work, future) for work, future in taken if not future.done()]
            if len(left) > 1:
                for call in left:  # those that only read, or need less, can be done
                    self._do([call])
            elif left:
                left[0][1].set_exception(StorageError(str(error)))
            return
        for future, result in results:
            future.set_result(result)

    def _do_one(self, work: _Work, future: Future[Any]) -> list[tuple[Future[Any], Any]]:
        """Do one call; what it raises itself undoes it alone, what the database raises ends the transaction."""
        self._connection.execute("SAVEPOINT one")
        try:
            result = work(self._connection)
        except sqlite3.Error:
            raise
        except Exception as error:
            self._connection.execute("ROLLBACK TO one")
            self._connection.execute("RELEASE one")
            future.set_exception(error)
            return []
        self._connection.execute("RELEASE one")
        return [(future, result)]


def _opened(file: Path, schema: str, version: int) -> sqlite3.Connection:
    # Transactions are begun by hand; the thread alone uses it once this is over.
    connection = sqlite3.connect(file, check_same_thread=False, isolation_level=None)
    connection.row_factory = sqlite3.Row
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # what is acknowledged outlives a power cut, too
    connection.execute("PRAGMA wal_autocheckpoint = 250")  # pages of its log, before they are moved to the database
    found = connection.execute("PRAGMA user_version").fetchone()[0]
    if found not in (0, version):
        connection.close()
        raise SpecError(f"{file}: has version {found} of its tables, from another plugtron (accepted: {version})")
    if found == 0:
        connection.executescript(f"BEGIN; {schema}; PRAGMA user_version = {version}; COMMIT")
    return connection
