"""How much memory a process on this machine may use: the machine's, or what a container allows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["HostMemory", "host_memory"]

#: Where a container sees its own limit, what it uses, and its statistics: control groups of version 2, and of 1.
_GROUPS = (
    ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory.current", "sys/fs/cgroup/memory.stat"),
    (
        "sys/fs/cgroup/memory/memory.limit_in_bytes",
        "sys/fs/cgroup/memory/memory.usage_in_bytes",
        "sys/fs/cgroup/memory/memory.stat",
    ),
)


@dataclass(frozen=True)
class HostMemory:
    """Bytes in all, and bytes that can be had now: what only caches files is given back when it is wanted."""

    total: int
    available: int


def host_memory(root: Path = Path("/")) -> HostMemory:
    """Return the memory of this machine, or of the container that this is. `root`: where /proc and /sys are.

    Sources: proc(5), MemAvailable; https://docs.kernel.org/admin-guide/cgroup-v2.html, memory.max.
    """
    found = _machine(root)
    for limit_file, used_file, statistics in _GROUPS:
        limit = _number(root / limit_file)
        if limit is not None and limit < found.total:
            used = (_number(root / used_file) or 0) - _fields(root / statistics).get("inactive_file", 0)
            return HostMemory(limit, max(0, min(found.available, limit - used)))
    return found


def _machine(root: Path) -> HostMemory:
    fields = {name: 1024 * value for name, value in _fields(root / "proc/meminfo").items()}
    if "MemAvailable" in fields:
        return HostMemory(fields["MemTotal"], fields["MemAvailable"])
    page = os.sysconf("SC_PAGE_SIZE")  # other systems have no /proc, and some do not tell what is free
    total = page * os.sysconf("SC_PHYS_PAGES")
    return HostMemory(total, page * os.sysconf("SC_AVPHYS_PAGES") if "SC_AVPHYS_PAGES" in os.sysconf_names else total)


def _fields(file: Path) -> dict[str, int]:
    """The lines `name number` of a file, or `name: number kB`; none if it is not there."""
    if not file.is_file():
        return {}
    lines = [line.split() for line in file.read_text().splitlines()]
    return {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1 and words[1].isdigit()}


def _number(file: Path) -> int | None:
    """The number in a file; None if there is none: no file, or "max"."""
    text = file.read_text().strip() if file.is_file() else ""
    return int(text) if text.isdigit() else None
