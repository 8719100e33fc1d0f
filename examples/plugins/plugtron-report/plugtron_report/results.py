"""A results file, as `plugtron run` writes it: a JSON object a line, of which this reads what a summary needs."""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from plugtron.errors import SpecError
from plugtron.utils import describe

__all__ = ["Answer", "Times", "read_answers"]


class Times(BaseModel):
    """Seconds, and a rate; None: it did not come so far."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    queue: float | None = None
    time_to_first_token: float | None = None
    inter_token: float | None = None
    max_inter_token: float | None = None
    total: float
    tokens_per_second: float | None = None


class Answer(BaseModel):
    """One line: an answer, or why there is none."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    index: int
    sequence: int = 0
    prompt_tokens: list[int]
    text: str
    tokens: list[int]
    finish_reason: str | None
    error: str | None = None
    timings: Times
    cached_tokens: int = 0
    preemptions: int = 0


def read_answers(file: Path) -> list[Answer]:
    """Read a file of results.

    Raises:
        SpecError: with the line, and what is wrong with it.
    """
    answers: list[Answer] = []
    with file.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                answers.append(_read(line, f"{file}:{number}"))
    if not answers:
        raise SpecError(f"{file}: there are no results in it")
    return answers


def _read(line: str, place: str) -> Answer:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise SpecError(f"{place}: is no JSON ({error}); a results file is what 'plugtron run' writes") from None
    if not isinstance(values, dict):
        raise SpecError(f"{place}: must be a mapping, as 'plugtron run' writes it")
    try:
        return Answer.model_validate(values)
    except ValidationError as error:
        found = "; ".join(f"{'.'.join(map(str, where))} {text}" for where, text in describe(error, Answer, values))
        raise SpecError(f"{place}: {found}") from None
