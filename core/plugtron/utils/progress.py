"""A progress bar on a terminal, nothing elsewhere. rich is imported only when a bar is drawn."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

__all__ = ["Progress", "progress", "spinner"]


class Progress(Protocol):
    """What a bar can be told."""

    def update(self, completed: int) -> None:
        """Say how much is done."""
        ...


class _Quiet:
    def update(self, completed: int) -> None:
        del completed


@contextmanager
def spinner(title: str, *, shown: bool = True) -> Iterator[None]:
    """Show on standard error, if that is a terminal, that something is going on."""
    if not shown or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(title):
        yield


@contextmanager
def progress(title: str, *, total: int, unit: str, shown: bool = True) -> Iterator[Progress]:
    """Show how far `title` has come, on standard error if that is a terminal. `unit` "B" shows bytes."""
    if not shown or not sys.stderr.isatty():
        yield _Quiet()
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    amount = DownloadColumn() if unit == "B" else MofNCompleteColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)

        class Drawn:
            def update(self, completed: int) -> None:
                bar.update(task, completed=completed)

        yield Drawn()
