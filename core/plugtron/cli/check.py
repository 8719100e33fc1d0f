"""plugtron check"""

from __future__ import annotations

from pathlib import Path

import click

from plugtron.cli.common import host_options, set_option, spec_argument, verbose_option
from plugtron.cli.specs import resolve_file

__all__ = ["check"]


@click.command()
@spec_argument
@set_option
@host_options
@verbose_option
def check(spec: Path, overrides: tuple[str, ...], no_plugins: bool, no_plugin: tuple[str, ...]) -> None:
    """Check SPEC: every mistake at once, with its line. Loads no model and downloads nothing."""
    resolved, _ = resolve_file(spec, overrides, no_plugins, no_plugin)
    missing = (
        "" if resolved.model else f"; {resolved.spec.model.checkpoint} is not here yet, so what it decides is open"
    )
    click.echo(f"{spec}: ok{missing}")
