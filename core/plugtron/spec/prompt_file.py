"""A file of prompts: JSON lines, read one by one, each a prompt as the spec has it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from plugtron.errors import Problem, SpecError
from plugtron.spec.model import PromptSpec
from plugtron.utils import validation
from plugtron.utils.json_file import once

__all__ = ["parse_lines", "parse_prompts", "read_lines"]

Entry = TypeVar("Entry", bound=BaseModel)

#: How many mistakes are listed before the rest is counted.
_SHOWN = 50


def read_lines(file: str, place: str = "prompts.file") -> Iterator[str]:
    """The lines of a file that are not blank, each with its line feed.

    Args:
        place: where the file is named, for the message.

    Raises:
        SpecError: it cannot be read.
    """
    try:
        # A line ends at a line feed alone: JSON texts may hold other characters that count as ends of lines elsewhere.
        with open(file, encoding="utf-8-sig", newline="\n") as handle:  # noqa: PTH123 - /dev/stdin and pipes, too
            yield from handle
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or "it is not UTF-8 text"
        raise SpecError([Problem(place, f"cannot read {file}: {reason}")]) from None


def parse_prompts(lines: Iterable[str], file: str) -> list[PromptSpec]:
    """Read prompts from lines.

    Raises:
        SpecError: there is none, or lines that are no prompts; all of them.
    """
    return parse_lines(lines, file, PromptSpec, "prompts")


def parse_lines(lines: Iterable[str], file: str, model: type[Entry], called: str) -> list[Entry]:
    """Read entries of a model from lines of JSON.

    Args:
        called: what entries are, in the message that there are none.

    Raises:
        SpecError: there is none, or lines that are none; all of them.
    """
    entries: list[Entry] = []
    problems: list[Problem] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line, object_pairs_hook=once)
        except (ValueError, RecursionError) as error:
            problems.append(Problem("", f"not JSON: {getattr(error, 'msg', error)}", file, number))
            continue
        try:
            entries.append(model.model_validate(value))
        except ValidationError as error:
            found = validation.describe(error, model, value)
            problems += [Problem(".".join(map(str, place)), text, file, number) for place, text in found]
    if len(problems) > _SHOWN:
        problems[_SHOWN:] = [Problem("", f"and {len(problems) - _SHOWN} more mistakes", file)]
    if problems:
        raise SpecError(problems)
    if not entries:
        raise SpecError([Problem("prompts.file", f"{file} has no {called}: write one a line, as JSON")])
    return entries
