"""plugtron score"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from plugtron.cli.common import DEFAULT_MODEL, PluginChoice, plugin_options, set_option, verbose_option
from plugtron.cli.specs import resolve_source
from plugtron.cli.stdout import kept_stdout
from plugtron.spec.load import Source
from plugtron.spec.overrides import apply, split
from plugtron.spec.prompt_file import parse_lines, read_lines
from plugtron.spec.score_entry import ScoreEntry

if TYPE_CHECKING:
    from plugtron.assembly import Session

__all__ = ["score"]


@click.command()
@click.argument("file", metavar="FILE")
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="Alias, path, or hub id.")
@click.option("--engine", default="dynamic", show_default=True, help="dynamic computes a prompt that repeats once.")
@click.option("--window", type=click.IntRange(min=2), help="Tokens of a text that are computed together.")
@set_option
@plugin_options
@verbose_option
def score(
    file: str, model: str, engine: str, window: int | None, overrides: tuple[str, ...], choice: PluginChoice
) -> None:
    """Say how likely the model finds the texts of FILE: JSON lines, "-" for standard input.

    {"prompt": ..., "continuation": ...} is given the log probability of the continuation, {"text": ...} a perplexity.
    """
    entries = parse_lines(read_lines("/dev/stdin" if file == "-" else file, "FILE"), file, ScoreEntry, "texts")
    values = {"version": 1, "model": {"checkpoint": model}, "engine": engine}
    with kept_stdout() as stdout:
        resolved, manager = resolve_source(apply(Source(values=values), split(overrides)), choice)
        from plugtron.assembly import assemble

        with assemble(resolved, manager=manager) as session:
            results = _scored(session, entries, window)
            if session.parts.runtime.rank == 0:
                for number, result in enumerate(results):
                    stdout.write(json.dumps({"index": number, **result}) + "\n")
        sys.exit(int(all(result["error"] for result in results)))


def _scored(session: Session, entries: list[ScoreEntry], window: int | None) -> list[dict[str, Any]]:
    from plugtron.scores import encode_pair, encode_text, score_continuations, score_texts

    tokenizer = session.parts.tokenizer
    pairs = [
        encode_pair(tokenizer, each.prompt, each.continuation)
        for each in entries
        if each.prompt is not None and each.continuation is not None
    ]
    texts = [encode_text(tokenizer, each.text) for each in entries if each.text is not None]
    scores = iter(score_continuations(session, pairs))
    perplexities = iter(score_texts(session, texts, window))
    return [next(scores if each.text is None else perplexities).to_dict() for each in entries]
