"""Paths in a spec: ~ and ${NAME} are filled in, and what is relative begins at the spec's own folder."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from plugtron.errors import Problem
from plugtron.hub.aliases import ALIASES
from plugtron.request.chat_options import is_template_text
from plugtron.spec.load import Place, Source

__all__ = ["place_option", "place_paths"]

#: Where the spec itself has paths; those of components are marked in their options (plugtron.plugin.options.PathText).
_PLACES: tuple[Place, ...] = (
    ("model", "checkpoint"),
    ("prompts", "file"),
    ("output", "file"),
    ("chat_template",),
    ("serve", "tls_certificate"),
    ("serve", "tls_key"),
)
_NAMES: tuple[Place, ...] = (("model", "checkpoint"), ("chat_template",))
_VARIABLE = re.compile(r"\$\{(\w+)\}")


def place_paths(source: Source) -> list[Problem]:
    """Complete the paths of a spec in place. A path of the command line or of a program begins where that runs.

    Returns:
        Paths that name a variable that is not set, or the home of a user that does not exist.
    """
    problems = []
    for place in _PLACES:
        owner: Any = source.values
        for part in place[:-1]:
            owner = owner.get(part) if isinstance(owner, dict) else None
        written = owner.get(place[-1]) if isinstance(owner, dict) else None
        if not isinstance(owner, dict) or not isinstance(written, str) or not _is_path(place, written):
            continue
        try:
            owner[place[-1]] = _placed(source, place, written)
        except ValueError as error:
            problems.append(source.problem(place, str(error)))
            source.unplaced.add(place)
    source.placed = True
    return problems


def place_option(source: Source, place: Place, written: str) -> str:
    """Complete a path in a component's options.

    Raises:
        ValueError: it names a variable that is not set, or a user that there is not.
    """
    return _placed(source, place, written)


def _is_path(place: Place, written: str) -> bool:
    if place == ("model", "checkpoint"):
        return bool(written) and written not in ALIASES
    return place != ("chat_template",) or not is_template_text(written)


def _placed(source: Source, place: Place, written: str) -> str:
    filled = _filled(written)
    if source.file is None or source.is_overridden(place):
        return filled
    path = str(Path(source.file).parent / filled)
    # An alias, a hub id, or the name of one of the model's templates, unless there is such a file beside the spec.
    named = place in _NAMES and not filled.startswith((".", "/"))
    return filled if named and not os.path.lexists(path) else path


def _filled(path: str) -> str:
    def value(match: re.Match[str]) -> str:
        if match[1] not in os.environ:
            raise ValueError(f"{match[0]} is not set in the environment (got {path!r})")
        return os.environ[match[1]]

    filled = _VARIABLE.sub(value, path)
    try:
        return str(Path(filled).expanduser()) if filled.startswith("~") else filled
    except RuntimeError:
        raise ValueError(f"this machine has no user {filled.partition('/')[0][1:]!r} (got {path!r})") from None
