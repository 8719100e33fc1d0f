"""plugtron batch"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from plugtron.cli.common import DEFAULT_MODEL, PluginChoice, plugin_options, set_option, stats_option, verbose_option
from plugtron.cli.on_ray import check_on_ray, refuse_without_ray
from plugtron.cli.serving import check_extra, lead, with_overrides
from plugtron.cli.specs import resolve_source
from plugtron.cli.stdout import kept_stdout
from plugtron.errors import SpecError
from plugtron.spec.load import Source, read

if TYPE_CHECKING:
    from plugtron.cli.batch_source import BatchSource
    from plugtron.plugin.manager import PluginManager
    from plugtron.spec.resolved import ResolvedSpec

__all__ = ["batch"]


@click.command()
@click.argument("requests", metavar="IN", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("results", metavar="OUT", type=click.Path(path_type=Path))
@click.option("--model", help=f"Alias, path, or hub id; {DEFAULT_MODEL} by default.")
@click.option("--spec", type=click.Path(path_type=Path), help="A spec file, in the place of --model.")
@click.option("--name", "names", multiple=True, help="A name that requests ask for; by default the checkpoint's.")
@click.option("--restart", is_flag=True, help="Begin anew; without it, what OUT has is not done again.")
@click.option("--ray", "over_ray", is_flag=True, help="Run replicas on the cluster of RAY_ADDRESS, or a local one.")
@click.option("--replicas", type=click.IntRange(1), help="How many, with --ray; 1 by default.")
@stats_option
@set_option
@plugin_options
@verbose_option
def batch(
    requests: Path,
    results: Path,
    model: str | None,
    spec: Path | None,
    names: tuple[str, ...],
    restart: bool,
    over_ray: bool,
    replicas: int | None,
    stats: bool,
    overrides: tuple[str, ...],
    choice: PluginChoice,
) -> None:
    """Answer the requests of IN, a line each in OpenAI's batch form, and write the answers to OUT as they are ready.

    A line that is no request has its error in OUT. A run that was interrupted goes on where it stopped.
    """
    if model is not None and spec is not None:
        raise click.UsageError("--model and --spec: give one of them")
    if not over_ray:
        refuse_without_ray({"--replicas": replicas})
    if not requests.is_file():
        raise SpecError(f"{requests}: must be a file: a run that goes on later reads it again")
    with kept_stdout() as stdout:
        source = with_overrides(_source(model, spec), overrides)
        # Whether an answer's length is asked for; `resolve` writes the default in.
        ends_chats = "max_tokens" in (source.values.get("sampling") or {})
        source.values["serve"] = _settings(source.values.get("serve"), names)
        resolved, manager = resolve_source(source, choice)
        check_extra("batch")
        from plugtron.cli.batch_run import BatchRun
        from plugtron.cli.batch_source import OwnModel

        def run(source: BatchSource) -> int:
            return BatchRun(source, stdout, requests=requests, results=results).run(restart=restart, stats=stats)

        if over_ray:
            sys.exit(run(_over_ray(resolved, manager, replicas or 1, ends_chats=ends_chats)))
        sys.exit(lead(resolved, manager, lambda world: run(OwnModel(resolved, manager, world, ends_chats=ends_chats))))


def _over_ray(resolved: ResolvedSpec, manager: PluginManager, replicas: int, *, ends_chats: bool) -> BatchSource:
    check_on_ray("batch", resolved)
    from plugtron.cli.batch_ray import RayReplicas

    return RayReplicas(resolved, manager, replicas, ends_chats=ends_chats)


def _source(model: str | None, spec: Path | None) -> Source:
    if spec is not None:
        return read(spec)
    return Source(values={"version": 1, "model": {"checkpoint": model or DEFAULT_MODEL}})


def _settings(written: Any, names: tuple[str, ...]) -> Any:
    """The spec's section on its server, with endpoints alone: middleware is for clients."""
    if written is not None and not isinstance(written, dict):
        return written  # which resolving refuses
    settings = {**(written or {}), "routes": ["openai", "responses", "embeddings"]}
    return {**settings, "models": list(names)} if names else settings
