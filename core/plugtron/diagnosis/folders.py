"""What is kept on disk, whether it can be, and whether the default model is there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from plugtron.diagnosis.line import Line
from plugtron.hub.location import locate
from plugtron.utils.cache_dir import cache_directory
from plugtron.utils.private_files import derived_directory, why_not_private

__all__ = ["folder_lines"]


def folder_lines(default_model: str) -> Iterator[Line]:
    """A line for each folder of the cache, and one for the model that examples use."""
    for topic, folder in (
        ("packed weights", derived_directory() / "packed"),
        ("prefixes", derived_directory() / "prefixes"),
        ("compiled kernels", derived_directory() / "native"),
        ("models", cache_directory()),
    ):
        yield _folder(topic, folder)
    where = locate(default_model)
    text = f"{default_model}, {where}" if where else f"{default_model} is not here yet: plugtron fetch {default_model}"
    yield Line(status="ok", topic="default model", text=text)


def _folder(topic: str, folder: Path) -> Line:
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) if folder.is_dir() else 0
    text = f"{folder}, {size / 1e6:.1f} MB"
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(nearest, os.W_OK):
        remedy = "make it writable, or set PLUGTRON_CACHE_DIR and XDG_CACHE_HOME to folders that are"
        return Line(status="warn", topic=topic, text=f"{text}: {nearest} cannot be written", remedy=remedy)
    reason = None if topic == "models" else why_not_private(folder)
    if reason is not None:
        remedy = "plugtron does not use it: chmod go-w, or set PLUGTRON_CACHE_DIR to a folder of your own"
        return Line(status="warn", topic=topic, text=f"{text}: {reason}", remedy=remedy)
    return Line(status="ok", topic=topic, text=text)
