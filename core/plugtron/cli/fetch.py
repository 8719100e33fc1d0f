"""plugtron fetch"""

from __future__ import annotations

import click

from plugtron.cli.common import verbose_option
from plugtron.models import fetch

__all__ = ["fetch_model"]


@click.command("fetch")
@click.argument("model")
@verbose_option
def fetch_model(model: str) -> None:
    """Download MODEL, an alias or a hub id, unless it is at hand, and print its path."""
    click.echo(fetch(model))
