"""Looking through a batch's input before anything of it is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from plugtron.serve.batches.line import LineError, numbered_lines, parse_line

__all__ = ["validate_input"]

#: Errors that are reported; no more are looked for.
_MOST = 100


def validate_input(file: Path, endpoint: str, max_body_bytes: int) -> tuple[int, list[dict[str, Any]]]:
    """Count the lines of an input, and find those that are no requests for the batch's endpoint.

    Raises:
        OSError: it cannot be read.
    """
    total, errors, seen = 0, list[dict[str, Any]](), set[str]()
    with file.open("rb") as lines:
        for number, raw in numbered_lines(lines, max_body_bytes):
            total += 1
            try:
                _check(raw, number, endpoint, seen)
            except LineError as error:
                errors.append({**error.body(), "param": None})
                if len(errors) == _MOST:
                    break
    if not total:
        errors.append({"code": "empty_file", "message": "the file has no lines", "line": None, "param": None})
    return total, errors


def _check(raw: bytes | None, number: int, endpoint: str, seen: set[str]) -> None:
    line = parse_line(raw, number)
    if line.url != endpoint:
        raise LineError(number, "mismatched_url", f"url: must be the batch's, {endpoint!r} (got {line.url!r})")
    if line.custom_id in seen:
        raise LineError(number, "duplicate_custom_id", f"custom_id: {line.custom_id!r} stands in an earlier line")
    seen.add(line.custom_id)
