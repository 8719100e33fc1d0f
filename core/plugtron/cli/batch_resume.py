"""What an earlier run has left in a batch's output."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from plugtron.errors import SpecError

__all__ = ["Done"]

#: What every line begins with.
_BEGIN = b'{"id": "batch_req_'


@dataclass(slots=True)
class Done:
    """The lines that need not be done again.

    Args:
        custom_ids: of requests that have been answered.
        lines: numbers of lines that are no requests.
        failed: how many of both are errors.
        size: bytes of the file up to the end of its last whole line.
    """

    custom_ids: set[str] = field(default_factory=set)
    lines: set[int] = field(default_factory=set)
    failed: int = 0
    size: int = 0

    @property
    def count(self) -> int:
        """How many lines are done."""
        return len(self.custom_ids) + len(self.lines)

    @classmethod
    def read(cls, file: Path) -> Self:
        """Read an output; a last line that was torn off does not count.

        Raises:
            SpecError: it is no output of a batch.
        """
        done = cls()
        with file.open("rb") as lines:
            for number, raw in enumerate(lines, start=1):
                if not raw.endswith(b"\n"):
                    # Zeros are what a file system leaves that lost its power.
                    if not _BEGIN.startswith(raw[: len(_BEGIN)].rstrip(b"\0")):
                        _refuse(file, number)
                    break
                done._add(raw, file, number)
                done.size += len(raw)
        return done

    def _add(self, raw: bytes, file: Path, number: int) -> None:
        try:
            record: Any = json.loads(raw)
            custom_id, response, error = (record[name] for name in ("custom_id", "response", "error"))
            if response is None:
                self.lines.add(int(error["line"]))
                self.failed += 1
            else:
                self.custom_ids.add(custom_id)
                self.failed += response["status_code"] >= 400
        except (ValueError, KeyError, TypeError):
            _refuse(file, number)


def _refuse(file: Path, number: int) -> None:
    raise SpecError(f"{file}:{number}: is no line that 'plugtron batch' writes; name another file, or --restart")
