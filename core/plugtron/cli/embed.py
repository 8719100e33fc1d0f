"""plugtron embed"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from plugtron.cli.common import DEFAULT_MODEL, PluginChoice, plugin_options, set_option, verbose_option
from plugtron.cli.specs import resolve_source
from plugtron.cli.stdout import kept_stdout
from plugtron.spec.embed_entry import EmbedEntry
from plugtron.spec.load import Source
from plugtron.spec.overrides import apply, split
from plugtron.spec.prompt_file import parse_lines, read_lines

if TYPE_CHECKING:
    from plugtron.request import InferenceRequest

__all__ = ["embed"]


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Alias, path, or hub id.")
@click.option("--engine", default="dynamic", show_default=True, help="dynamic batches texts of any length.")
@click.option(
    "--pooling",
    type=click.Choice(["last", "mean", "cls"]),
    default="last",
    show_default=True,
    help="The state of the last token, the mean of all, or that of the first.",
)
@click.option("--normalize/--no-normalize", default=True, show_default=True, help="To length 1.")
@set_option
@plugin_options
@verbose_option
def embed(
    file: str,
    model: str,
    engine: str,
    pooling: str,
    normalize: bool,
    overrides: tuple[str, ...],
    choice: PluginChoice,
) -> None:
    """Embed the texts of FILE: JSON lines {"text": ...}, a text or token ids; "-" for standard input.

    Each line of the output has the text's index, its number of tokens, and its embedding, or an error.
    """
    entries = parse_lines(read_lines("/dev/stdin" if file == "-" else file, "FILE"), file, EmbedEntry, "texts")
    values = {"version": 1, "model": {"checkpoint": model}, "engine": engine}
    with kept_stdout() as stdout:
        resolved, manager = resolve_source(apply(Source(values=values), split(overrides)), choice)
        from plugtron.assembly import assemble
        from plugtron.request import InferenceRequest, SamplingParams

        params = SamplingParams.from_flat({"pooling": pooling, "normalize": normalize})
        requests = [
            InferenceRequest(prompt=entry.text, params=params, index=number) for number, entry in enumerate(entries)
        ]
        with assemble(resolved, manager=manager) as session:
            for _ in session.run(requests):
                pass
            if session.parts.runtime.rank == 0:
                for request in requests:
                    stdout.write(json.dumps(_result(request)) + "\n")
        sys.exit(int(all(request.error for request in requests)))


def _result(request: InferenceRequest) -> dict[str, Any]:
    return {
        "index": request.index,
        "num_tokens": len(request.prompt_tokens),
        "embedding": request.embedding,
        "error": request.error,
    }
