"""Batches and the results that they have so far, as rows."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from plugtron.serve.api_error import ApiError
from plugtron.serve.batches.database import Database
from plugtron.serve.batches.file_table import FileTable, StoredFile

__all__ = ["ENDED", "Batch", "BatchTable"]

#: A batch as OpenAI's API shows it.
Batch = dict[str, Any]
#: The statuses after which nothing changes.
ENDED = frozenset({"completed", "failed", "cancelled", "expired"})
#: Batches that may be open at once; each holds its input open.
_MAX_OPEN = 100
_COUNTS = ("total", "completed", "failed")


class BatchTable:
    """The batches. A line's result is there once, whatever happens."""

    def __init__(self, database: Database, files: FileTable) -> None:
        self._database = database
        self._files = files

    async def add(self, batch: Batch) -> None:
        """Add a batch.

        Raises:
            ApiError: 404, there is no such input; 429, too many batches are open.
        """
        await self._files.get(batch["input_file_id"])

        def insert(db: sqlite3.Connection) -> None:
            count = db.execute("SELECT count(*) FROM batches WHERE NOT ended").fetchone()[0]
            if count >= _MAX_OPEN:
                message = f"{count} batches have not ended, which is as many as this server takes"
                raise ApiError(HTTPStatus.TOO_MANY_REQUESTS, message, code="too_many_batches")
            db.execute(
                "INSERT INTO batches (id, input, ended, record, total, completed, failed) VALUES (?, ?, 0, ?, 0, 0, 0)",
                (batch["id"], batch["input_file_id"], json.dumps(batch)),
            )

        await self._database.call(insert)

    async def get(self, batch_id: str) -> Batch:
        """Find a batch.

        Raises:
            ApiError: 404.
        """
        return await self._database.call(lambda db: _from_row(_row(db, batch_id)))

    async def open_ids(self) -> list[str]:
        """The batches that have not ended, the oldest first."""
        query = "SELECT id FROM batches WHERE NOT ended ORDER BY number"
        return [row["id"] for row in await self._database.call(lambda db: db.execute(query).fetchall())]

    async def page(self, *, after: str | None, limit: int) -> tuple[list[Batch], bool]:
        """Some batches, the latest first, and whether there are more."""

        def read(db: sqlite3.Connection) -> list[sqlite3.Row]:
            before = 2**62 if after is None else _row(db, after)["number"]
            query = "SELECT * FROM batches WHERE number < ? ORDER BY number DESC LIMIT ?"
            return db.execute(query, (before, limit + 1)).fetchall()

        rows = await self._database.call(read)
        return [_from_row(row) for row in rows[:limit]], len(rows) > limit

    async def move(self, batch_id: str, came_from: Sequence[str], status: str, **fields: Any) -> Batch:
        """Give a batch another status, where it has one of those that this may follow, and note when.

        Returns:
            The batch as it is then.
        """

        def change(db: sqlite3.Connection) -> Batch:
            batch = _from_row(_row(db, batch_id))
            if batch["status"] in came_from:
                _set_status(db, batch, status, fields)
            return batch

        return await self._database.call(change)

    async def set_total(self, batch_id: str, total: int) -> None:
        """Say how many lines a batch has."""
        await self._database.call(lambda db: db.execute("UPDATE batches SET total = ? WHERE id = ?", (total, batch_id)))

    async def add_result(self, batch_id: str, line: int, record: str, *, ok: bool) -> None:
        """Keep the result of a line."""

        def insert(db: sqlite3.Connection) -> None:
            number = _row(db, batch_id)["number"]
            added = db.execute("INSERT OR IGNORE INTO results VALUES (?, ?, ?, ?)", (number, line, ok, record)).rowcount
            counter = "completed" if ok else "failed"
            db.execute(f"UPDATE batches SET {counter} = {counter} + ? WHERE number = ?", (added, number))

        await self._database.call(insert)

    async def done_lines(self, batch_id: str) -> set[int]:
        """The lines that have results."""
        query = "SELECT line FROM results JOIN batches ON number = batch WHERE id = ?"
        return {row["line"] for row in await self._database.call(lambda db: db.execute(query, (batch_id,)).fetchall())}

    async def results(self, batch_id: str, after: int, limit: int) -> list[tuple[int, bool, str]]:
        """Some results in the order of their lines: the line, whether it is an answer, and the record."""
        query = (
            "SELECT line, ok, results.record FROM results JOIN batches ON number = batch "
            "WHERE id = ? AND line > ? ORDER BY line LIMIT ?"
        )
        rows = await self._database.call(lambda db: db.execute(query, (batch_id, after, limit)).fetchall())
        return [(row["line"], bool(row["ok"]), row["record"]) for row in rows]

    async def end(self, batch_id: str, status: str, files: dict[str, StoredFile], failed: int) -> None:
        """End a batch: its files are there, and its results are in them.

        Args:
            files: by the field that names them.
            failed: how many lines have an error now.
        """

        def change(db: sqlite3.Connection) -> None:
            row = _row(db, batch_id)
            for file in files.values():
                self._files.insert(db, file)
            db.execute("UPDATE batches SET failed = ? WHERE id = ?", (failed, batch_id))
            _set_status(db, _from_row(row), status, {field: file.id for field, file in files.items()})
            db.execute("DELETE FROM results WHERE batch = ?", (row["number"],))

        await self._database.call(change)


def _row(db: sqlite3.Connection, batch_id: str) -> sqlite3.Row:
    row = db.execute("SELECT * FROM batches WHERE id = ?", (batch_id,)).fetchone()
    if row is None:
        raise ApiError(HTTPStatus.NOT_FOUND, f"there is no batch {batch_id!r}", param="id", code="batch_not_found")
    return row


def _from_row(row: sqlite3.Row) -> Batch:
    return {**json.loads(row["record"]), "request_counts": {name: row[name] for name in _COUNTS}}


def _set_status(db: sqlite3.Connection, batch: Batch, status: str, fields: dict[str, Any]) -> None:
    batch.update({"status": status, f"{status}_at": int(time.time()), **fields})
    record = json.dumps({**batch, "request_counts": None})  # these have columns of their own
    db.execute("UPDATE batches SET record = ?, ended = ? WHERE id = ?", (record, status in ENDED, batch["id"]))
