"""Files that were uploaded, and those that batches have made: rows of a table, with the contents in a folder."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO

from plugtron.serve.api_error import ApiError
from plugtron.serve.batches.database import Database
from plugtron.serve.batches.storage import storage_errors

__all__ = ["FileTable", "StoredFile"]

_PART = ".part"


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """A file: who it is, and what it is for."""

    id: str
    created: int
    size: int
    name: str
    purpose: str

    def body(self) -> dict[str, Any]:
        """As OpenAI's API shows it."""
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.size,
            "created_at": self.created,
            "expires_at": None,
            "filename": self.name,
            "purpose": self.purpose,
            "status": "processed",
            "status_details": None,
        }


class FileTable:
    """The files. A row is there only while its contents are."""

    def __init__(self, database: Database, folder: Path) -> None:
        self._database = database
        self._folder = folder

    def path(self, file_id: str) -> Path:
        """Where the contents of a file are."""
        return self._folder / file_id

    @asynccontextmanager
    async def written(self, file_id: str) -> AsyncIterator[BinaryIO]:
        """Give a file to write to; its contents are in their place, on the disk, when the block ends without an error.

        Raises:
            StorageError: they cannot be written; nothing is left of them.
        """
        part = self._folder / f"{file_id}{_PART}"
        with storage_errors():
            try:
                with part.open("wb") as file:
                    yield file
                    await asyncio.to_thread(_sync, file)
                part.replace(self.path(file_id))
                await asyncio.to_thread(_sync_folder, self._folder)
            except BaseException:
                part.unlink(missing_ok=True)
                raise

    def remove_strays(self) -> None:
        """Remove contents without a row: a server was killed between the two. Before anything is added."""
        rows = self._database.submit(lambda db: db.execute("SELECT id FROM files").fetchall()).result()
        known = {row["id"] for row in rows}
        for path in self._folder.iterdir():
            if path.name not in known:
                path.unlink()

    async def add(self, file: StoredFile) -> None:
        """Add the row of a file whose contents are in their place; they are removed where it cannot be added."""
        try:
            await self._database.call(lambda db: self.insert(db, file))
        except ApiError:
            self.path(file.id).unlink(missing_ok=True)
            raise

    @staticmethod
    def insert(db: sqlite3.Connection, file: StoredFile) -> None:
        """Add a row, as part of a call."""
        db.execute(
            "INSERT OR REPLACE INTO files (id, created, bytes, name, purpose) VALUES (?, ?, ?, ?, ?)",
            (file.id, file.created, file.size, file.name, file.purpose),
        )

    def made(self, file_id: str, name: str, purpose: str) -> StoredFile:
        """Describe contents that are in their place."""
        size = self.path(file_id).stat().st_size
        return StoredFile(id=file_id, created=int(time.time()), size=size, name=name, purpose=purpose)

    async def get(self, file_id: str) -> StoredFile:
        """Find a file.

        Raises:
            ApiError: 404.
        """
        return await self._database.call(lambda db: _found(db, file_id))

    async def page(
        self, *, after: str | None, limit: int, descending: bool, purpose: str | None
    ) -> tuple[list[StoredFile], bool]:
        """Some files in the order in which they were made, and whether there are more."""

        def read(db: sqlite3.Connection) -> list[sqlite3.Row]:
            where, values = ["1"], list[Any]()
            if after is not None:
                _found(db, after)
                where.append(f"number {'<' if descending else '>'} (SELECT number FROM files WHERE id = ?)")
                values.append(after)
            if purpose is not None:
                where.append("purpose = ?")
                values.append(purpose)
            order = "DESC" if descending else "ASC"
            query = f"SELECT * FROM files WHERE {' AND '.join(where)} ORDER BY number {order} LIMIT ?"
            return db.execute(query, (*values, limit + 1)).fetchall()

        rows = await self._database.call(read)
        return [_from_row(row) for row in rows[:limit]], len(rows) > limit

    async def delete(self, file_id: str) -> None:
        """Delete a file.

        Raises:
            ApiError: 404; or 409, a batch that has not ended reads it.
        """

        def remove(db: sqlite3.Connection) -> None:
            _found(db, file_id)
            reader = db.execute("SELECT id FROM batches WHERE input = ? AND NOT ended", (file_id,)).fetchone()
            if reader is not None:
                raise ApiError(HTTPStatus.CONFLICT, f"{file_id} is read by {reader['id']}, which has not ended")
            db.execute("DELETE FROM files WHERE id = ?", (file_id,))

        await self._database.call(remove)
        self.path(file_id).unlink(missing_ok=True)


def _sync(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _found(db: sqlite3.Connection, file_id: str) -> StoredFile:
    row = db.execute("SELECT * FROM files WHERE id = ?", (file_id,)).fetchone()
    if row is None:
        raise ApiError(HTTPStatus.NOT_FOUND, f"there is no file {file_id!r}", param="id", code="file_not_found")
    return _from_row(row)


def _from_row(row: sqlite3.Row) -> StoredFile:
    return StoredFile(id=row["id"], created=row["created"], size=row["bytes"], name=row["name"], purpose=row["purpose"])
