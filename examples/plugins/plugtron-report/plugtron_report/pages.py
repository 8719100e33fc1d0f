"""A summary as a page: HTML that needs nothing beside it, or Markdown."""

from __future__ import annotations

import html
from collections.abc import Callable

from plugtron_report.summary import Summary, Table

__all__ = ["PAGES"]

_STYLE = (
    "body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:60em;padding:0 1em}"
    "table{border-collapse:collapse}td,th{padding:.2em .8em .2em 0;text-align:left;border-bottom:1px solid #ccc}"
)


def _html(title: str, summary: Summary) -> str:
    tables = "\n".join(map(_html_table, summary.tables))
    head = f'<meta charset="utf-8"><title>{html.escape(title)}</title><style>{_STYLE}</style>'
    body = f"<h1>{html.escape(title)}</h1>\n<p>{html.escape(summary.line)}</p>\n{tables}"
    return f'<!doctype html>\n<html lang="en"><head>{head}</head>\n<body>\n{body}\n</body></html>\n'


def _html_table(table: Table) -> str:
    head = "".join(f"<th>{html.escape(name)}</th>" for name in table.head)
    rows = "\n".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in table.rows)
    return f"<h2>{html.escape(table.title)}</h2>\n<table><tr>{head}</tr>\n{rows}\n</table>"


def _markdown(title: str, summary: Summary) -> str:
    tables = "\n\n".join(map(_markdown_table, summary.tables))
    return f"# {_cell(title)}\n\n{summary.line}\n\n{tables}\n"


def _markdown_table(table: Table) -> str:
    lines = [table.head, ("---",) * len(table.head), *table.rows]
    return f"## {table.title}\n\n" + "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines)


def _cell(text: str) -> str:
    """A text within one cell: what Markdown would read something into is taken literally."""
    for sign in "\\`*_[]<>|#":
        text = text.replace(sign, f"\\{sign}")
    return " ".join(text.split())


#: By the ending of a file's name.
PAGES: dict[str, Callable[[str, Summary], str]] = {".html": _html, ".md": _markdown}
