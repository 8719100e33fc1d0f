"""plugtron run"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plugtron.cli.common import PluginChoice, plugin_options, set_option, spec_argument, stats_option, verbose_option
from plugtron.cli.specs import resolve_source
from plugtron.cli.stdout import StandardOutput, kept_stdout
from plugtron.parallel.environment import is_launched
from plugtron.spec.load import read
from plugtron.spec.overrides import apply, split
from plugtron.spec.preflight import check_ranks

if TYPE_CHECKING:
    from plugtron.parallel.world import World
    from plugtron.plugin.manager import PluginManager
    from plugtron.spec.resolved import ResolvedSpec

__all__ = ["run"]


@click.command()
@spec_argument
@set_option
@click.option("--output", type=click.Path(path_type=Path), help="Write results here, not to standard output.")
@click.option("--record", type=click.Path(path_type=Path), help="Write down here what 'plugtron replay' needs.")
@stats_option
@click.option("--text", is_flag=True, help="Print the answers alone, for reading.")
@plugin_options
@verbose_option
def run(
    spec: Path,
    overrides: tuple[str, ...],
    output: Path | None,
    record: Path | None,
    text: bool,
    stats: bool,
    choice: PluginChoice,
) -> None:
    """Run SPEC: its prompts in order, one JSON line each. Starts as many ranks as `parallel` asks for."""

    def resolved() -> tuple[ResolvedSpec, PluginManager]:
        source = apply(read(spec), split(overrides))
        checked, manager = resolve_source(source, choice)
        check_ranks(source, checked.model, started_here=not is_launched())
        return checked, manager

    write_to: dict[str, Any] = {"output": output, "record": record, "text": text, "stats": stats, "spec_file": spec}
    with kept_stdout() as stdout:
        if is_launched():
            sys.exit(_run_as_rank(resolved, stdout, **write_to))
        checked, manager = resolved()
        ranks = checked.spec.parallel.ranks
        if ranks == 1:
            sys.exit(_run(checked, manager, stdout, **write_to))
    from plugtron.hub.location import fetch
    from plugtron.parallel.launch import torchrun

    fetch(checked.spec.model.checkpoint)  # once, before the ranks would all want to
    sys.exit(torchrun(ranks, sys.argv[1:]))


def _run_as_rank(
    resolved: Callable[[], tuple[ResolvedSpec, PluginManager]], stdout: StandardOutput, **write_to: Any
) -> int:
    """Run as one of torchrun's processes. They meet first, so that whatever fails on one is said once, by rank 0."""
    from plugtron.parallel.parent import end_with_parent
    from plugtron.parallel.world import launched

    if "TORCHELASTIC_RUN_ID" in os.environ:  # torchrun's agent, or ours, is the parent
        end_with_parent()
    world = launched()
    assert world is not None
    try:
        checked, manager = world.group().run_on_all_ranks(resolved)
        return _run(checked, manager, stdout, world=world, **write_to)
    finally:
        world.close()  # a rank that exits inside its job is aborted, and its exit code is lost


def _run(
    resolved: ResolvedSpec,
    manager: PluginManager,
    stdout: StandardOutput,
    *,
    output: Path | None,
    record: Path | None,
    text: bool,
    stats: bool,
    spec_file: Path,
    world: World | None = None,
) -> int:
    from plugtron.cli.run_spec import SEPARATOR, run_spec, to_json, to_text

    if output is None and resolved.spec.output is not None:
        output = Path(resolved.spec.output.file)
    return run_spec(
        resolved,
        manager,
        stdout,
        write=to_text if text else to_json,
        output=output,
        record=record,
        stats=stats,
        separator=SEPARATOR if text else None,
        spec_file=spec_file,
        world=world,
    )
