"""plugtron plugins"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

import click

from plugtron.cli.common import PluginChoice, find_plugins, plugin_options
from plugtron.cli.plugin_page import page, record
from plugtron.errors import PluginError, SpecError, suggestion
from plugtron.plugin.candidate import Candidate, find
from plugtron.plugin.discovery import Plugin
from plugtron.plugin.manager import PluginManager

if TYPE_CHECKING:
    from plugtron.diagnosis.plugin_check import PluginReport

__all__ = ["plugins"]

Named = TypeVar("Named", Plugin, Candidate)


@click.command()
@click.argument("action", type=click.Choice(["list", "show", "check"]), default="list")
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
@plugin_options
@click.option("-v", "--verbose", is_flag=True, help="Show tracebacks.")
def plugins(action: str, name: str | None, as_json: bool, verbose: bool, choice: PluginChoice) -> None:
    """List plugins with their state; `show NAME` in full; `check [NAME]`: all that can be wrong with them.

    `check` imports each plugin, and what its components name, in processes of its own. It ends with 3 where something
    is wrong; warnings alone end with 0.
    """
    if action == "check":
        sys.exit(_check(name, choice, as_json))
    manager = find_plugins(choice)
    if action == "show":
        found = _find(manager.plugins, name)
        pages = ["\n".join(page(plugin, traceback=verbose)) for plugin in found]
        click.echo(json.dumps([record(plugin) for plugin in found], indent=2) if as_json else "\n\n".join(pages))
    elif as_json:
        click.echo(json.dumps([record(plugin) for plugin in manager.plugins], indent=2))
    else:
        _table(manager)


def _find(known: Sequence[Named], name: str | None) -> list[Named]:
    names = sorted({each.name for each in known})
    if name is None:
        raise click.UsageError(f"plugins show needs a name: {', '.join(names)}")
    found = [each for each in known if name in (each.name, each.distribution)]
    if not found:
        raise SpecError(f"no plugin {name!r} (installed: {', '.join(names)}).{suggestion(name, names)}")
    return found


def _table(manager: PluginManager) -> None:
    rows = [(plugin.name, plugin.state, f"{plugin.distribution} {plugin.version}") for plugin in manager.plugins]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    for row, plugin in zip(rows, manager.plugins, strict=True):
        what = plugin.failure.error if plugin.failure else ", ".join(offer.name for offer in plugin.offers)
        line = "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo(f"{line}  {what}".rstrip())


def _check(name: str | None, choice: PluginChoice, as_json: bool) -> int:
    """Check plugins one after the other, saying of each at once what there is; return the exit code."""
    from plugtron.diagnosis.plugin_check import check_plugin

    known = [*find(), *map(Candidate.from_file, choice.files)]
    wanted = known if name is None else _find(known, name)
    reports: list[PluginReport] = []
    for candidate in wanted:
        if not {candidate.name, candidate.distribution} & set(choice.disabled):
            reports.append(check_plugin(candidate, choice.files))
            if not as_json:
                _say(reports[-1])
    if as_json:
        click.echo(json.dumps([asdict(report) for report in reports], indent=2))
    failed = any(finding.level == "error" for report in reports for finding in report.findings)
    return PluginError.exit_code if failed else 0


def _say(report: PluginReport) -> None:
    for finding in report.findings:
        click.echo(str(finding))
    if not report.findings:
        parts = f"{report.components} component{'' if report.components == 1 else 's'}"
        title = f"plugin {report.name!r} ({report.distribution} {report.version})"
        click.echo(f"ok: {title}: {parts}, imported in {report.seconds * 1000:.0f} ms")
