"""plugtron show"""

from __future__ import annotations

from pathlib import Path

import click

from plugtron.cli.common import PluginChoice, plugin_options, set_option, spec_argument, verbose_option
from plugtron.cli.specs import resolve_file

__all__ = ["show"]


@click.command()
@spec_argument
@set_option
@plugin_options
@verbose_option
def show(spec: Path, overrides: tuple[str, ...], choice: PluginChoice) -> None:
    """Print SPEC with every default written out, where each component comes from, and what `auto` comes to here.

    What is printed loads back equal.
    """
    from plugtron.cli.settled import settled
    from plugtron.spec.dump import dump

    resolved, _ = resolve_file(spec, overrides, choice)
    click.echo(dump(resolved, settled(resolved)), nl=False)
