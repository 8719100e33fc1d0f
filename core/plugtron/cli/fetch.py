"""plugtron fetch"""

from __future__ import annotations

import click

from plugtron.cli.common import verbose_option
from plugtron.hub.aliases import ALIASES
from plugtron.hub.location import fetch

__all__ = ["fetch_model"]


@click.command("fetch")
@click.argument("model")
@click.option("--verify", is_flag=True, help="Read an alias's file again, and fetch it anew if it has changed.")
@verbose_option
def fetch_model(model: str, verify: bool) -> None:
    """Download MODEL, an alias or a hub id, unless it is at hand, and print its path."""
    if verify and model not in ALIASES:
        raise click.UsageError(f"--verify: only of aliases is it known what they should be ({', '.join(ALIASES)})")
    click.echo(fetch(model, verify=verify))
