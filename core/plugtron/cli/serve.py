"""plugtron serve"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from plugtron.cli.common import PluginChoice, plugin_options, set_option, verbose_option
from plugtron.cli.serving import check_extra, checkpoint_name, event_loop, lead, spec_or_model, with_overrides
from plugtron.cli.specs import resolve_source
from plugtron.cli.stdout import kept_stdout

if TYPE_CHECKING:
    from plugtron.parallel.world import World
    from plugtron.plugin.manager import PluginManager
    from plugtron.spec.resolved import ResolvedSpec

__all__ = ["serve"]

#: The variable of the component api_keys.
_KEY = "PLUGTRON_API_KEY"


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
    **settings: Any,
) -> None:
    """Serve a spec, or a model with the dynamic engine, over HTTP. Ctrl-C stops: open requests may finish."""
    with kept_stdout():
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
        sys.exit(lead(resolved, manager, lambda world: _listen(resolved, manager, ends_chats, world)))


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


def _listen(resolved: ResolvedSpec, manager: PluginManager, ends_chats: bool, world: World | None) -> int:
    from plugtron.assembly import assemble
    from plugtron.serve.server import Server, bind

    settings = resolved.spec.serve
    assert settings is not None
    listener = bind(settings)
    names = settings.models or [checkpoint_name(resolved)]

    async def run() -> bool:
        server = Server(
            settings,
            listener,
            lambda: assemble(resolved, manager=manager, world=world),
            models=names,
            ends_chats=ends_chats,
        )
        return await server.run(on_ready=lambda: click.echo(f"{names[0]} at {server.url}", err=True))

    with event_loop() as loop:
        if not loop.run(run()):
            sys.stderr.flush()
            os._exit(0)  # a thread is loading the model, which nothing can interrupt
    return 0
