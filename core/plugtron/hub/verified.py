"""Files of a known digest: read whole once, and again when size, time or inode say that they may have changed."""

from __future__ import annotations

import hashlib
import json
import warnings
from contextlib import suppress
from pathlib import Path

__all__ = ["forget", "is_verified", "note_verified"]


def is_verified(file: Path, sha256: str) -> bool:
    """Whether a file is there with the content that it should have; a warning where it has another."""
    if not file.is_file():
        return False
    state = _state(file, sha256)
    try:
        if json.loads(_note(file).read_text()) == state:
            return True
    except (OSError, ValueError):
        pass  # it was never looked at
    with file.open("rb") as handle:
        digest = hashlib.file_digest(handle, "sha256").hexdigest()
    if digest != sha256:
        warnings.warn(f"{file} has sha256 {digest}, expected {sha256}: it is fetched anew", stacklevel=3)
        return False
    note_verified(file, sha256)
    return True


def note_verified(file: Path, sha256: str) -> None:
    """Note beside a file that its content has been looked at."""
    with suppress(OSError):  # a folder that cannot be written to: it is read again next time
        _note(file).write_text(json.dumps(_state(file, sha256)))


def forget(file: Path) -> None:
    """Have a file read again when it is asked for next."""
    _note(file).unlink(missing_ok=True)


def _note(file: Path) -> Path:
    return file.with_name(f"{file.name}.verified")


def _state(file: Path, sha256: str) -> dict[str, object]:
    status = file.stat()
    return {"sha256": sha256, "size": status.st_size, "mtime_ns": status.st_mtime_ns, "inode": status.st_ino}
