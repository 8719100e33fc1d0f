"""plugtron new"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import click

from plugtron.plugin.manager import PluginManager
from plugtron.scaffold.render import KINDS, ScaffoldError, write_package

__all__ = ["new"]


@click.command()
@click.argument("kind", type=click.Choice(KINDS))
@click.argument("name")
@click.option("--into", type=click.Path(path_type=Path), help="The folder to make (default: the distribution's name).")
def new(kind: str, name: str, into: Path | None) -> None:
    """Write a package with a plugin of KIND called NAME: the part, its tests, a spec file, a README."""
    own = PluginManager(builtins_only=True).registry.offers()
    if any((offer.kind, offer.name) == (kind, name) for offer in own):
        raise ScaffoldError(f"name {name!r}: plugtron has a {kind} of this name, which specs would mean")
    folder = into or Path(name.replace("_", "-"))
    release = ".".join(version("plugtron").split(".")[:2])
    written = write_package(kind, name, folder, plugtron=release)
    click.echo(f"{folder}: {len(written)} files. Next:")
    click.echo(f"  cd {folder} && pip install -e '.[test]' && pytest")
