"""Making the files of a batch that has come to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from plugtron.serve.batches.batch_table import Batch
from plugtron.serve.batches.file_table import StoredFile
from plugtron.serve.batches.line import numbered_lines, parse_line
from plugtron.serve.batches.record import error_record
from plugtron.serve.batches.store import Store

__all__ = ["finish_batch"]

#: Results that are read from the database at a time.
_PAGE = 500
_PURPOSE = "batch_output"


async def finish_batch(store: Store, batch: Batch, max_body_bytes: int) -> None:
    """Write answers and errors to files of their own, in the order of the lines, and end the batch with them.

    May be begun anew at any moment: the files have the same names then.

    Raises:
        StorageError: they cannot be written.
    """
    counts = batch["request_counts"]
    missing = counts["total"] - counts["completed"] - counts["failed"]
    status = "cancelled" if batch["status"] == "cancelling" else "expired" if missing else "completed"
    name = batch["id"].removeprefix("batch_")
    output_id, error_id = f"file-{name}-output", f"file-{name}-error"
    async with store.files.written(output_id) as output, store.files.written(error_id) as errors:
        after = 0
        while page := await store.batches.results(batch["id"], after, _PAGE):
            await asyncio.to_thread(_write, page, output, errors)
            after = page[-1][0]
        failed = counts["failed"]
        if status == "expired":
            done = await store.batches.done_lines(batch["id"])
            source = store.files.path(batch["input_file_id"])
            failed += await asyncio.to_thread(_write_expired, source, done, errors, max_body_bytes)
    files: dict[str, StoredFile] = {}
    for field, file_id in (("output_file_id", output_id), ("error_file_id", error_id)):
        made = store.files.made(file_id, f"{batch['id']}_{field.partition('_')[0]}.jsonl", _PURPOSE)
        if made.size:
            files[field] = made
        else:
            store.files.path(file_id).unlink()
    await store.batches.end(batch["id"], status, files, failed)


def _write(page: Sequence[tuple[int, bool, str]], output: BinaryIO, errors: BinaryIO) -> None:
    for _, ok, record in page:
        (output if ok else errors).write(f"{record}\n".encode())


def _write_expired(source: Path, done: set[int], errors: BinaryIO, max_body_bytes: int) -> int:
    """Write an error for each line that has no result; return how many these are."""
    error = {"code": "batch_expired", "message": "the completion window ended before this request was answered"}
    count = 0
    with source.open("rb") as lines:
        for number, raw in numbered_lines(lines, max_body_bytes):
            if number not in done:
                custom_id = parse_line(raw, number).custom_id
                errors.write(f"{error_record(custom_id, error)}\n".encode())
                count += 1
    return count
