"""plugtron cache"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import click

from plugtron.cli.common import verbose_option
from plugtron.utils.cache_dir import cache_directory
from plugtron.utils.private_files import derived_directory

__all__ = ["cache"]


@click.command()
@click.argument("action", type=click.Choice(["list", "clear"]), default="list")
@click.option("--models", is_flag=True, help="With clear: the downloaded models, too.")
@verbose_option
def cache(action: str, models: bool) -> None:
    """List what plugtron keeps on disk, or clear it: packed weights, compiled kernels, prefixes, downloaded models.

    What is not downloaded is made again when it is needed. At most $PLUGTRON_CACHE_GIB (16) GiB of weights are kept,
    and unless it is set no more than is free on the disk; the least recently used are removed first.
    """
    if action == "clear":
        _clear(models)
    else:
        _list()


def _list() -> None:
    # Imported here: packed files are read with torch's help, and clearing does without.
    from plugtron.context.prefix_folder import kept_prefixes, prefix_directory
    from plugtron.execution.packed_folder import kept_weights, packed_directory

    click.echo(f"packed weights: {packed_directory()}")
    for kept in kept_weights():
        click.echo(f"  {_size(kept.size):>9}  last used {_when(kept.used)}  {kept.source or 'not readable'}")
    click.echo(f"prefixes: {prefix_directory()}")
    for kept in kept_prefixes():
        model = kept.model or "not readable"
        click.echo(f"  {_size(kept.size):>9}  last used {_when(kept.used)}  {model}, {kept.blocks} blocks")
    for title, folder in (("compiled kernels", derived_directory() / "native"), ("models", cache_directory())):
        click.echo(f"{title}: {folder}")
        for file in sorted(folder.glob("*.so" if title == "compiled kernels" else "*.gguf")):
            click.echo(f"  {_size(file.stat().st_size):>9}  {file.name}")


def _clear(models: bool) -> None:
    derived = [derived_directory() / name for name in ("packed", "prefixes", "native")]
    folders = [*derived, *([cache_directory()] if models else [])]
    for folder in folders:
        size = _size(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))
        if folder.is_dir():
            _remove(folder)
            click.echo(f"{folder}: {size} removed")


def _remove(folder: Path) -> None:
    """Remove a folder; of a link only the link."""
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _when(time: float) -> str:
    return datetime.fromtimestamp(time).strftime("%Y-%m-%d %H:%M")


def _size(count: int) -> str:
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"
