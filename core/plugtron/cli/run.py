"""plugtron run"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from plugtron.cli.common import host_options, set_option, spec_argument, verbose_option
from plugtron.cli.specs import resolve_file

__all__ = ["run"]


@click.command()
@spec_argument
@set_option
@click.option("--output", type=click.Path(path_type=Path), help="Write results here, not to standard output.")
@host_options
@verbose_option
def run(
    spec: Path, overrides: tuple[str, ...], output: Path | None, no_plugins: bool, no_plugin: tuple[str, ...]
) -> None:
    """Run SPEC: its prompts in order, one JSON line each. Starts as many ranks as `parallel` asks for."""
    resolved, host = resolve_file(spec, overrides, no_plugins, no_plugin)
    ranks = resolved.spec.parallel.tensor
    if ranks > 1 and "WORLD_SIZE" not in os.environ:
        from plugtron.models import fetch
        from plugtron.parallel.launch import torchrun

        fetch(resolved.spec.model.checkpoint)  # once, before the ranks would all want to
        sys.exit(torchrun(ranks, sys.argv[1:]))
    from plugtron.cli.running import run_spec, to_json

    target = output or (Path(resolved.spec.output.file) if resolved.spec.output else None)
    sys.exit(run_spec(resolved, host, write=to_json, output=target))
