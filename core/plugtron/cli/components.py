"""plugtron components"""

from __future__ import annotations

import click

from plugtron.cli.common import PluginChoice, make_manager, plugin_options, verbose_option
from plugtron.errors import PluginError
from plugtron.plugin.component import Kind

__all__ = ["components"]


@click.command()
@click.argument("kind", required=False, type=click.Choice([kind.value for kind in Kind]))
@plugin_options
@verbose_option
def components(kind: str | None, choice: PluginChoice) -> None:
    """List what a spec may name, with options and per-request parameters."""
    offers = make_manager(choice).registry.offers(Kind(kind) if kind else None)
    width = max((len(f"{offer.kind} {offer.name}") for offer in offers), default=0)
    for offer in offers:
        title = f"{offer.kind} {offer.name}"
        also = f" (also {', '.join(offer.component.aliases)})" if offer.component.aliases else ""
        click.echo(f"{title:{width}}  {offer.component.summary}{also}  [{offer.distribution} {offer.version}]")
        try:
            models = (("option", offer.options_model()), ("parameter", offer.params_model()))
        except PluginError as error:  # of one that cannot be imported, which must not hide the others
            click.echo(f"warning: {error}", err=True)
            continue
        for word, model in models:
            for name, field in model.model_fields.items() if model else ():
                click.echo(f"{'':{width}}    {word} {name}{': ' + field.description if field.description else ''}")
