"""plugtron doctor"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict

import click

from plugtron.cli.common import DEFAULT_MODEL, PluginChoice, find_plugins, plugin_options, verbose_option
from plugtron.parallel.environment import is_launched

__all__ = ["doctor"]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the lines as JSON.")
@click.option("--strict", is_flag=True, help="End with 1 where anything is not ok.")
@plugin_options
@verbose_option
def doctor(as_json: bool, strict: bool, choice: PluginChoice) -> None:
    """Look at Python, torch, devices, the compiler, plugins and caches: how each is, and what to do about it.

    Under torchrun the ranks compare what they have, and rank 0 says it.
    """
    # Imported here: the list of verbs needs none of it.
    from plugtron.diagnosis.folders import folder_lines
    from plugtron.diagnosis.health import plugin_lines
    from plugtron.diagnosis.machine import machine_lines
    from plugtron.diagnosis.ranks import rank_lines

    manager = find_plugins(choice)
    compared = list(rank_lines(manager)) if is_launched() else []
    if os.environ.get("RANK", "0") != "0" and is_launched():
        return
    lines = [*machine_lines(), *plugin_lines(manager), *compared, *folder_lines(DEFAULT_MODEL)]
    click.echo(json.dumps([asdict(line) for line in lines], indent=2) if as_json else "\n".join(map(str, lines)))
    sys.exit(int(strict and any(line.status != "ok" for line in lines)))
