"""What a file of results comes to: tables of texts, which a page then sets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from plugtron_report.results import Answer, Times

__all__ = ["Summary", "Table", "quantile", "summarize"]

#: Characters of an answer that the list shows.
_SHOWN = 80
_TIMES: dict[str, Callable[[Times], float | None]] = {
    "queue (s)": lambda times: times.queue,
    "time to first token (s)": lambda times: times.time_to_first_token,
    "between tokens (s)": lambda times: times.inter_token,
    "longest between tokens (s)": lambda times: times.max_inter_token,
    "whole request (s)": lambda times: times.total,
    "tokens per second": lambda times: times.tokens_per_second,
}


@dataclass(frozen=True, slots=True)
class Table:
    """A title, the names of the columns, and rows of texts."""

    title: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Summary:
    """A line that says it all, and the tables."""

    line: str
    tables: tuple[Table, ...]


def summarize(answers: Sequence[Answer]) -> Summary:
    """Put the answers of a run into tables."""
    requests = {answer.index: answer for answer in reversed(answers)}
    failed = sum(answer.error is not None for answer in requests.values())
    generated = sum(len(answer.tokens) for answer in answers)
    line = f"{len(requests)} requests, {failed} of them failed; {len(answers)} answers with {generated} tokens"
    reasons = Counter(answer.finish_reason or "unknown" for answer in answers)
    by_reason = tuple((reason, str(count), f"{count / len(answers):.0%}") for reason, count in reasons.most_common())
    tables = [
        Table("Finish reasons", ("reason", "answers", "share"), by_reason),
        _lengths(answers, requests.values()),
        _times(requests.values()),
        _list("Failures", [answer for answer in answers if answer.error is not None]),
        _list("Answers", [answer for answer in answers if answer.error is None]),
    ]
    return Summary(line, tuple(table for table in tables if table.rows))


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which a share of them lies, between neighbors in proportion."""
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def _spread(name: str, values: Sequence[float]) -> tuple[str, ...]:
    figures = [sum(values) / len(values), *(quantile(values, share) for share in (0, 0.5, 0.95, 1))]
    return name, str(len(values)), *(f"{figure:.4g}" for figure in figures)


_SPREAD = ("count", "mean", "least", "median", "95 %", "most")


def _lengths(answers: Sequence[Answer], requests: Iterable[Answer]) -> Table:
    """Tokens of prompts and answers; prompts count once, however many answers they have."""
    rows = [
        _spread("prompt", [len(answer.prompt_tokens) for answer in requests]),
        _spread("of it, found in memory", [answer.cached_tokens for answer in answers]),
        _spread("answer", [len(answer.tokens) for answer in answers]),
        _spread("times computed again", [answer.preemptions for answer in answers]),
    ]
    return Table("Tokens", ("", *_SPREAD), tuple(rows))


def _times(requests: Iterable[Answer]) -> Table:
    """The times of those that did not fail."""
    good = [answer.timings for answer in requests if answer.error is None]
    columns = {name: [value for times in good if (value := read(times)) is not None] for name, read in _TIMES.items()}
    return Table("Times", ("", *_SPREAD), tuple(_spread(name, values) for name, values in columns.items() if values))


def _list(title: str, answers: Sequence[Answer]) -> Table:
    rows = tuple(
        (str(answer.index), str(answer.sequence), str(len(answer.tokens)), answer.finish_reason or "", _short(answer))
        for answer in answers
    )
    return Table(title, ("prompt", "answer", "tokens", "ended by", "text"), rows)


def _short(answer: Answer) -> str:
    text = answer.text if answer.error is None else answer.error
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
