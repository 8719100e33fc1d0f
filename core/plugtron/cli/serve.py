"""plugtron serve"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from plugtron.cli.common import PluginChoice, plugin_options, set_option, verbose_option
from plugtron.cli.on_ray import check_on_ray, refuse_without_ray
from plugtron.cli.serving import check_extra, checkpoint_name, event_loop, lead, spec_or_model, with_overrides
from plugtron.cli.specs import resolve_source
from plugtron.cli.stdout import kept_stdout

if TYPE_CHECKING:
    from plugtron.assembly.session import Session
    from plugtron.parallel.world import World
    from plugtron.plugin.manager import PluginManager
    from plugtron.spec.resolved import ResolvedSpec

__all__ = ["serve"]

#: The variable of the component api_keys.
_KEY = "PLUGTRON_API_KEY"
#: The ways of `plugtron.routing`; the first is what is done when none is named.
_ROUTINGS = ("prefix", "least_loaded", "round_robin")


@click.command()
@click.argument("spec", metavar="SPEC|MODEL")
@click.option("--host", help="The address to listen on; 127.0.0.1 by default.")
@click.option("--port", type=int, help="The port to listen on; 8000 by default, 0 takes any that is free.")
@click.option("--name", "models", multiple=True, help="A name that clients ask for; by default the checkpoint's.")
@click.option("--api-key", envvar="PLUGTRON_API_KEY", help="A key that clients must send; better in the variable.")
@click.option("--api-key-file", type=click.Path(), help="A file of such keys, one in each line.")
@click.option("--cors", multiple=True, metavar="ORIGIN", help="An origin whose pages may ask from browsers; * for all.")
@click.option("--tls-certificate", type=click.Path(), help="A certificate in PEM: HTTPS is spoken.")
@click.option("--tls-key", type=click.Path(), help="Its key.")
@click.option("--requests-per-minute", type=float, help="What each client may ask for; by default any number.")
@click.option("--ray", "on_ray", is_flag=True, help="Have replicas of the model on a Ray cluster answer.")
@click.option("--replicas", type=click.IntRange(min=1), help="With --ray: how many; 1 by default.")
@click.option(
    "--routing",
    type=click.Choice(_ROUTINGS),
    help="With --ray: which of them gets a request: prefix (by default) prefers those that were sent its beginning.",
)
@set_option
@plugin_options
@verbose_option
def serve(
    spec: str,
    overrides: tuple[str, ...],
    choice: PluginChoice,
    api_key: str | None,
    api_key_file: str | None,
    cors: tuple[str, ...],
    requests_per_minute: float | None,
    on_ray: bool,
    replicas: int | None,
    routing: str | None,
    **settings: Any,
) -> None:
    """Serve a spec, or a model with the dynamic engine, over HTTP. Ctrl-C stops: open requests may finish."""
    with kept_stdout():
        if not on_ray:
            refuse_without_ray({"--replicas": replicas, "--routing": routing})
        source = with_overrides(spec_or_model(spec), overrides)
        # Whether an answer's length is asked for; `resolve` writes the default in.
        ends_chats = "max_tokens" in (source.values.get("sampling") or {})
        if api_key is not None:
            os.environ[_KEY] = api_key
        guards: dict[str, Mapping[str, Any] | None] = {
            "cors": {"origins": list(cors)} if cors else None,
            "api_keys": {"file": api_key_file} if api_key_file else {} if api_key is not None else None,
            "rate_limit": None if requests_per_minute is None else {"requests_per_minute": requests_per_minute},
        }
        source.values["serve"] = _settings(source.values.get("serve"), settings, guards)
        resolved, manager = resolve_source(source, choice)
        check_extra("serve")
        if on_ray:
            check_on_ray("serve", resolved)
            load = _replicas(resolved, manager, replicas or 1, routing or _ROUTINGS[0])
            sys.exit(_listen(resolved, load, ends_chats))
        sys.exit(
            lead(resolved, manager, lambda world: _listen(resolved, _engine(resolved, manager, world), ends_chats))
        )


def _settings(written: Any, given: Mapping[str, Any], guards: Mapping[str, Mapping[str, Any] | None]) -> Any:
    """What the spec says of its server, with the options of the command line over it."""
    if written is not None and not isinstance(written, Mapping):
        return written  # which resolving refuses
    settings = {**(written or {}), **{name: value for name, value in given.items() if value not in (None, ())}}
    if isinstance(settings.get("models"), tuple):
        settings["models"] = list(settings["models"])
    # Behind the log, which is to have what they refuse; all endpoints are behind them, wherever they stand.
    asked = [{"name": name, "options": dict(options)} for name, options in guards.items() if options is not None]
    named = [each["name"] for each in asked]
    routes = settings.get("routes", ["default"])
    if asked and isinstance(routes, list):
        kept = [each for each in routes if (each.get("name") if isinstance(each, Mapping) else each) not in named]
        settings["routes"] = [*kept, *asked]
    return settings


def _engine(resolved: ResolvedSpec, manager: PluginManager, world: World | None) -> Callable[[], Session]:
    """One engine, in this process."""
    from plugtron.assembly import assemble

    return lambda: assemble(resolved, manager=manager, world=world)


def _replicas(resolved: ResolvedSpec, manager: PluginManager, count: int, routing: str) -> Callable[[], Session]:
    """Engines on a Ray cluster."""
    from plugtron.integrations.replicas.assemble import assemble_replicas
    from plugtron.routing.router import Routing

    return lambda: assemble_replicas(resolved, manager, count, Routing(routing))


def _listen(resolved: ResolvedSpec, load: Callable[[], Session], ends_chats: bool) -> int:
    from plugtron.serve.server import Server, bind

    settings = resolved.spec.serve
    assert settings is not None
    listener = bind(settings)
    names = settings.models or [checkpoint_name(resolved)]

    async def run() -> bool:
        server = Server(settings, listener, load, models=names, ends_chats=ends_chats)
        return await server.run(on_ready=lambda: click.echo(f"{names[0]} at {server.url}", err=True))

    with event_loop() as loop:
        if not loop.run(run()):
            sys.stderr.flush()
            os._exit(0)  # a thread is loading the model, which nothing can interrupt
    return 0
