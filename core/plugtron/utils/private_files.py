"""Which cached files may be executed or mapped: only those that no user but this one and root can write."""

from __future__ import annotations

import os
import stat
from pathlib import Path

__all__ = ["derived_directory", "make_private", "open_regular", "why_not_private"]


def derived_directory() -> Path:
    """Where compiled kernels and packed weights are kept: $PLUGTRON_CACHE_DIR, or $XDG_CACHE_HOME/plugtron."""
    own = os.environ.get("PLUGTRON_CACHE_DIR")
    if own:
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "plugtron"


def make_private(folder: Path) -> None:
    """Make a folder that only its owner may write to, unless it is there.

    Raises:
        OSError: it cannot be made.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)


def why_not_private(path: Path) -> str | None:
    """Say who else can write a file or folder; None where no other user can, or where it does not exist.

    It must be no link, belong to this user or root, and be writable by its owner alone. In a folder above it that
    everybody may write to it could have been exchanged, unless that is sticky, as /tmp is.
    """
    try:
        own = path.lstat()
    except OSError:
        return None
    if stat.S_ISLNK(own.st_mode):
        return f"{path} is a link"
    if reason := _not_ours(path, own):
        return reason
    for folder in path.absolute().parents:
        above = folder.stat()
        if above.st_mode & stat.S_IWOTH and not above.st_mode & stat.S_ISVTX:
            return f"everybody may write to {folder}"
    return None


def open_regular(path: Path) -> int:
    """Open a file for reading, and nothing that is none: a pipe would keep its reader waiting.

    Raises:
        OSError: it is not there, or is no regular file, or a link.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(0, "is no file", str(path))
    return descriptor


def _not_ours(path: Path, status: os.stat_result) -> str | None:
    if status.st_uid not in (os.geteuid(), 0):
        return f"{path} belongs to another user"
    if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to {path}"
    return None
