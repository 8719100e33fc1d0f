"""plugtron check"""

from __future__ import annotations

from pathlib import Path

import click

from plugtron.cli.common import PluginChoice, make_manager, plugin_options, set_option, spec_argument, verbose_option
from plugtron.errors import PluginError, SpecError
from plugtron.plugin.manager import PluginManager
from plugtron.plugin.registry import OWN_DISTRIBUTION
from plugtron.spec.load import Source, read
from plugtron.spec.overrides import apply, split
from plugtron.spec.preflight import preflight
from plugtron.spec.resolve import Resolution

__all__ = ["check"]


@click.command()
@spec_argument
@set_option
@plugin_options
@verbose_option
def check(spec: Path, overrides: tuple[str, ...], choice: PluginChoice) -> None:
    """Check SPEC: every mistake at once, with its line, and what is sure to fail on this machine.

    Loads no model and downloads nothing.
    """
    source = apply(read(spec), split(overrides))
    manager = make_manager(choice, source.disabled)
    resolution = Resolution(source, manager)
    failures = [*preflight(source, resolution.model), *resolution.prechecks()]
    try:
        resolved = resolution.resolved()
    except SpecError as error:
        raise SpecError(sorted([*error.problems, *failures], key=source.position)) from None
    except PluginError:
        if failures:
            raise SpecError(sorted(failures, key=source.position)) from None
        raise
    if failures:
        raise SpecError(sorted(failures, key=source.position))
    _check_foreign_parts(source, resolution, manager)
    missing = (
        "" if resolved.model else f"; {resolved.spec.model.checkpoint} is not here yet, so what it decides is open"
    )
    click.echo(f"{spec}: ok{missing}")


def _check_foreign_parts(source: Source, resolution: Resolution, manager: PluginManager) -> None:
    """Import what parts of other packages name, in another process: here nothing may import torch.

    Raises:
        PluginError: one cannot be built.
    """
    foreign = [chosen for chosen in resolution.components if chosen.offer.distribution != OWN_DISTRIBUTION]
    if not foreign:
        return
    # Imported here: most specs name plugtron's parts alone.
    from plugtron.diagnosis.chosen_parts import check_chosen

    problems = [
        source.problem(chosen.place, f"{chosen.offer.title}: {text}")
        for chosen, text in check_chosen(foreign, manager.files)
    ]
    if problems:
        raise PluginError("\n".join(map(str, sorted(problems, key=source.position))))
