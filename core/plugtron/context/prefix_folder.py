"""The folder of prefixes on disk: a file for each block of tokens; what is in it, and what has to go."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plugtron.utils.private_files import derived_directory, open_regular

__all__ = ["SUFFIX", "UNFINISHED", "KeptPrefixes", "kept_prefixes", "make_room", "prefix_directory"]

SUFFIX, UNFINISHED = ".block", ".unfinished"
#: Seconds after which an unfinished file is taken for one whose process was killed.
_LEFT_BEHIND = 600
#: Bytes in which a file says what it is of.
_MOST_HEADER = 65536


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptPrefixes:
    """What is kept of a model (empty: not known): blocks, their size in bytes, and when one was last used."""

    model: str
    blocks: int
    size: int
    used: float


def prefix_directory() -> Path:
    """Where blocks of prefixes are kept between starts."""
    return derived_directory() / "prefixes"


def kept_prefixes() -> list[KeptPrefixes]:
    """What is kept, model by model, the most recently used first."""
    found: dict[str, list[tuple[int, float]]] = {}
    models: dict[str, str] = {}  # of blocks with one origin, which their names begin with
    for path, size, used in _files(prefix_directory()):
        if path.suffix == SUFFIX:
            origin = path.name.partition("-")[0]
            if origin not in models:
                models[origin] = _model_of(path)
            found.setdefault(models[origin], []).append((size, used))
    kept = [
        KeptPrefixes(
            model=model, blocks=len(files), size=sum(size for size, _ in files), used=max(used for _, used in files)
        )
        for model, files in found.items()
    ]
    return sorted(kept, key=lambda each: -each.used)


def make_room(folder: Path, most: int) -> None:
    """Remove what writers that were killed have left behind, and the least recently used blocks beyond `most` bytes."""
    files = list(_files(folder))
    left = sum(size for _, size, _ in files)
    now = time.time()
    for path, size, used in sorted(files, key=lambda file: file[2]):
        killed = path.suffix == UNFINISHED and now - used > _LEFT_BEHIND
        if killed or (left > most and path.suffix == SUFFIX):
            path.unlink(missing_ok=True)
            left -= size


def _files(folder: Path) -> Iterator[tuple[Path, int, float]]:
    """The files of a folder with their sizes, and when they were last used; other processes may be removing some."""
    with suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                yield Path(entry.path), status.st_size, status.st_mtime


def _model_of(path: Path) -> str:
    """The model that a block says it is of; empty where it cannot be read."""
    try:
        with os.fdopen(open_regular(path), "rb") as file:
            return str(json.loads(file.readline(_MOST_HEADER))["model"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
