"""plugtron generate"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from plugtron.cli.common import (
    DEFAULT_MODEL,
    PluginChoice,
    plugin_options,
    sampling_options,
    set_option,
    stats_option,
    verbose_option,
)
from plugtron.cli.specs import resolve_source
from plugtron.cli.stdout import kept_stdout
from plugtron.request.sampling_params import DEFAULT_MAX_TOKENS
from plugtron.spec.load import Source
from plugtron.spec.overrides import apply, split

__all__ = ["generate"]


@click.command()
@click.argument("prompts", nargs=-1, required=True, metavar="PROMPT...")
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Alias, path, or hub id.")
@click.option(
    "--max-tokens", type=int, help=f"Tokens per answer, {DEFAULT_MAX_TOKENS} by default; -1: to the end of the context."
)
@sampling_options
@click.option("--chat", is_flag=True, help="Prompts are what a user says; answer with the model's chat template.")
@click.option("--json", "as_json", is_flag=True, help="Print results as JSON lines.")
@stats_option
@set_option
@plugin_options
@verbose_option
def generate(
    prompts: tuple[str, ...],
    model: str,
    chat: bool,
    as_json: bool,
    stats: bool,
    overrides: tuple[str, ...],
    choice: PluginChoice,
    **sampling: Any,
) -> None:
    """Answer each PROMPT. On a terminal, text appears as it is generated."""
    asked = {name: value for name, value in sampling.items() if value is not None}
    entries = [{"messages": [{"role": "user", "content": text}]} if chat else {"prompt": text} for text in prompts]
    values = {"version": 1, "model": {"checkpoint": model}, "sampling": asked, "prompts": entries}
    with kept_stdout() as stdout:
        resolved, manager = resolve_source(apply(Source(values=values), split(overrides)), choice)
        output = None if resolved.spec.output is None else Path(resolved.spec.output.file)
        from plugtron.cli.run_spec import SEPARATOR, run_spec, to_json, to_text

        look: dict[str, Any] = (
            {"write": to_json} if as_json else {"write": to_text, "separator": SEPARATOR, "stream": True}
        )
        sys.exit(run_spec(resolved, manager, stdout, output=output, stats=stats, **look))
