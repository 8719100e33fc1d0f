"""The folder of packed weights: what is in it, and what has to go."""

from __future__ import annotations

import os
import shutil
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from plugtron.execution.packed import source_of
from plugtron.utils.private_files import derived_directory

__all__ = ["UNFINISHED", "KeptWeights", "kept_weights", "packed_directory", "tidy"]

SUFFIX, UNFINISHED = ".weights", ".unfinished"
_A_DAY = 24 * 3600
#: Bytes that are kept where the environment does not say otherwise.
_BUDGET = 16 * 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptWeights:
    """A file of packed weights: the model it is of (empty: not known), its size in bytes, and when it was last used."""

    path: Path
    source: str
    size: int
    used: float


def packed_directory() -> Path:
    """Where packed weights are kept between starts."""
    return derived_directory() / "packed"


def kept_weights() -> list[KeptWeights]:
    """What is kept, the most recently used first."""
    return sorted(_found(packed_directory()), key=lambda kept: -kept.used)


def _found(folder: Path) -> Iterator[KeptWeights]:
    for path in folder.glob(f"*{SUFFIX}"):
        with suppress(FileNotFoundError):  # another process may be tidying up too
            status = path.stat()
            try:
                source = source_of(path)
            except (OSError, ValueError):
                source = ""
            yield KeptWeights(path=path, source=source, size=status.st_size, used=status.st_mtime)


def tidy(newest: Path) -> None:
    """Remove entries without a source, then the least recently used, until the rest is within the budget.

    Without a source are entries of a model that has changed or is gone, and unfinished ones of starts that were killed
    long ago.

    Args:
        newest: stays, whatever its size.
    """
    meaning = newest.stem.partition("-")[0]
    for other in newest.parent.glob(f"*{UNFINISHED}"):
        with suppress(FileNotFoundError):
            if time.time() - other.stat().st_mtime > _A_DAY:
                other.unlink()
    left, most = 0, budget(newest.parent)
    for kept in kept_weights():
        of_before = kept.path.stem.partition("-")[0] == meaning
        gone = kept.source == "" or not Path(kept.source).exists()
        left += kept.size
        if kept.path != newest and (of_before or gone or left > most):
            kept.path.unlink(missing_ok=True)
            left -= kept.size


def budget(folder: Path) -> int:
    """How many bytes are kept: $PLUGTRON_CACHE_GIB, else 16 GiB, and no more than is free on the disk."""
    written = os.environ.get("PLUGTRON_CACHE_GIB", "")
    try:
        if written:
            return int(float(written) * 2**30)
    except (ValueError, OverflowError):
        warnings.warn(f"PLUGTRON_CACHE_GIB is {written!r}, not a number: 16 is used", stacklevel=2)
    return min(_BUDGET, shutil.disk_usage(folder).free)
