"""plugtron convert"""

from __future__ import annotations

from pathlib import Path

import click

from plugtron.cli.common import PluginChoice, plugin_options, set_option, verbose_option
from plugtron.cli.specs import resolve_source
from plugtron.spec.load import Source
from plugtron.spec.overrides import apply, split

__all__ = ["convert_checkpoint"]


@click.command("convert")
@click.argument("checkpoint")
@click.argument("output", type=click.Path(path_type=Path))
@click.option("--dtype", default="auto", help="Of the weights written: auto, float32, bfloat16 or float16.")
@click.option(
    "--quantization",
    type=click.Choice(["int4", "int8"]),
    help="Quantize the weights of linear layers, to be loaded with model.quantization: as_stored.",
)
@set_option
@plugin_options
@verbose_option
def convert_checkpoint(
    checkpoint: str,
    output: Path,
    dtype: str,
    quantization: str | None,
    overrides: tuple[str, ...],
    choice: PluginChoice,
) -> None:
    """Write CHECKPOINT, of any format, to OUTPUT as a Hugging Face folder, which appears when it is whole."""
    from plugtron.convert import convert
    from plugtron.hub.location import fetch

    model = {"checkpoint": str(fetch(checkpoint)), "dtype": dtype, "quantization": quantization}
    values = {"version": 1, "model": model, "device": "cpu"}
    resolved, _ = resolve_source(apply(Source(values=values), split(overrides)), choice)
    has_tokenizer = convert(resolved, output)
    without = "" if has_tokenizer else ", without a tokenizer: name one when you use it, or prompt with ids"
    click.echo(f"{output}: written{without}")
