"""plugtron schema"""

from __future__ import annotations

import json

import click

from plugtron.cli.common import PluginChoice, make_manager, plugin_options, verbose_option

__all__ = ["schema"]


@click.command()
@plugin_options
@verbose_option
def schema(choice: PluginChoice) -> None:
    """Print JSON Schema of a spec for the plugins installed now; editors complete and check with it."""
    from plugtron.spec.schema import json_schema

    click.echo(json.dumps(json_schema(make_manager(choice).registry), indent=2))
