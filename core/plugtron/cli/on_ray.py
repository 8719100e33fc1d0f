"""What `serve --ray` and `batch --ray` check before anything is started."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click

from plugtron.errors import ParallelError, PluginError, SpecError
from plugtron.parallel.environment import is_launched

if TYPE_CHECKING:
    from plugtron.spec.resolved import ResolvedSpec

__all__ = ["check_on_ray", "refuse_without_ray"]


def refuse_without_ray(options: Mapping[str, object]) -> None:
    """Refuse options that are of replicas where there is one engine.

    Args:
        options: by name; those that are not None were given.

    Raises:
        click.UsageError: with the first of them.
    """
    for name, value in options.items():
        if value is not None:
            raise click.UsageError(f"{name}: without --ray there is one engine, in this process")


def check_on_ray(verb: str, resolved: ResolvedSpec) -> None:
    """See whether replicas of a spec can be started.

    Raises:
        ParallelError, SpecError, PluginError: they cannot, and why.
    """
    if is_launched():
        raise ParallelError("--ray: Ray starts the processes; do not use torchrun")
    if resolved.spec.parallel.data > 1:
        raise SpecError("parallel.data: with --ray, --replicas says how many copies there are (accepted: 1)")
    if find_spec("ray") is None:
        raise PluginError(f"{verb} --ray needs ray, which is not installed: pip install 'plugtron[serve,ray]'")
