"""plugtron report"""

from __future__ import annotations

from pathlib import Path

import click

from plugtron_report.pages import PAGES
from plugtron_report.results import read_answers
from plugtron_report.summary import summarize

__all__ = ["report"]


def _output(context: click.Context, option: click.Parameter, value: Path | None) -> Path | None:
    """Refuse a name whose ending is no format."""
    del context, option
    if value is not None and value.suffix not in PAGES:
        raise click.BadParameter(f"{value}: a report ends in {' or '.join(PAGES)}")
    return value


@click.command()
@click.argument("results", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=_output,
    help="Write here, *.html or *.md; by default Markdown to standard output.",
)
@click.option("--title", help="The title of the page; by default the name of RESULTS.")
def report(results: Path, output: Path | None, title: str | None) -> None:
    """Summarize RESULTS, the JSON lines of 'plugtron run': finish reasons, lengths, times, answers."""
    summary = summarize(read_answers(results))
    page = PAGES[".md" if output is None else output.suffix](title or results.name, summary)
    if output is None:
        click.echo(page, nl=False)
        return
    output.write_text(page, encoding="utf-8")
    click.echo(f"{output}: {summary.line}", err=True)
