"""Reading a spec file: plain data, and for each value the line it stands on, so that errors can point."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from plugtron.errors import Problem, SpecError

__all__ = ["Place", "Source", "read"]

#: A path into the data: ("engine", "options", "max_batch_size") or ("samplers", 0).
Place = tuple[str | int, ...]


@dataclass(slots=True)
class Source:
    """A spec as plain data, with where each value comes from."""

    values: dict[str, Any]
    file: str | None = None
    lines: dict[Place, int] = field(default_factory=dict)
    #: Values that a `--set` put in, by place: errors name the override rather than a line.
    overrides: dict[Place, str] = field(default_factory=dict)

    @property
    def disabled(self) -> list[str]:
        """The plugins that the spec does not want imported; needed before anything else of it is checked."""
        plugins = self.values.get("plugins")
        names = plugins.get("disable") if isinstance(plugins, dict) else None
        return [name for name in names if isinstance(name, str)] if isinstance(names, list) else []

    def problem(self, place: Place, message: str) -> Problem:
        """A problem at `place`, with the file and line of the nearest value that has one."""
        dotted = ".".join(map(str, place))
        for length in range(len(place), -1, -1):
            if place[:length] in self.overrides:
                return Problem(dotted, message, "--set")
            if place[:length] in self.lines:
                return Problem(dotted, message, self.file, self.lines[place[:length]])
        return Problem(dotted, message, self.file)

    def position(self, problem: Problem) -> tuple[bool, int]:
        """A sort key that puts problems in the order of the file, those of overrides last."""
        return (problem.file == "--set", problem.line or 0)


def read(path: Path) -> Source:
    """Read a YAML, TOML or JSON spec.

    Raises:
        SpecError: no such file, an unknown ending, or the text is not well formed.
    """
    readers = {".yaml": _yaml, ".yml": _yaml, ".json": _json, ".toml": _toml}
    reader = readers.get(path.suffix)
    if reader is None:
        raise SpecError([Problem("", f"a spec ends in {', '.join(readers)} (got {path.name!r})", str(path))])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise SpecError([Problem("", f"cannot read the spec: {reason}", str(path))]) from None
    try:
        values, lines = reader(text, str(path))
    except SpecError:
        raise
    # Dates that are none, numbers of thousands of digits, nesting without end: the parsers raise as they please.
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise SpecError([Problem("", f"cannot be read: {type(error).__name__}: {error}", str(path))]) from None
    if not isinstance(values, dict):
        raise SpecError([Problem("", "a spec is a mapping that begins with 'version: 1'", str(path), 1)])
    return Source(values=values, file=str(path), lines=lines)


def _yaml(text: str, file: str) -> tuple[Any, dict[Place, int]]:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        _refuse_duplicates(node, file)
        return yaml.safe_load(text), dict(_yaml_lines(node))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        raise SpecError([Problem("", f"not YAML: {error.problem}", file, mark.line + 1 if mark else None)]) from None
    except yaml.YAMLError as error:
        raise SpecError([Problem("", f"not YAML: {error}", file)]) from None


def _json(text: str, file: str) -> tuple[Any, dict[Place, int]]:
    def pairs(entries: list[tuple[str, Any]]) -> dict[str, Any]:
        for index, (key, _) in enumerate(entries):
            if any(key == earlier for earlier, _ in entries[:index]):
                raise SpecError([Problem(key, "stands twice in one mapping", file)])
        return dict(entries)

    try:
        values = json.loads(text, object_pairs_hook=pairs)
    except json.JSONDecodeError as error:
        raise SpecError([Problem("", f"not JSON: {error.msg}", file, error.lineno)]) from None
    try:
        # JSON is YAML as far as places go, once tabs, which YAML forbids between tokens, are out of the way.
        return values, dict(_yaml_lines(yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader)))
    except yaml.YAMLError:
        return values, {}  # nearly all JSON; where it is not, errors do without their line


def _toml(text: str, file: str) -> tuple[Any, dict[Place, int]]:
    try:
        return tomllib.loads(text), dict(_toml_lines(text))
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        raise SpecError([Problem("", f"not TOML: {error}", file, int(line[1]) if line else None)]) from None


def _refuse_duplicates(node: yaml.Node | None, file: str) -> None:
    """YAML lets a later key win without a word; in a spec that hides a mistake."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise SpecError([Problem(str(key.value), "stands here a second time", file, key.start_mark.line + 1)])
            seen.add(key.value)
            _refuse_duplicates(value, file)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _refuse_duplicates(value, file)


def _yaml_lines(node: yaml.Node | None, place: Place = ()) -> Iterator[tuple[Place, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield (*place, key.value), key.start_mark.line + 1
            yield from _yaml_lines(value, (*place, key.value))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield (*place, index), value.start_mark.line + 1
            yield from _yaml_lines(value, (*place, index))


def _toml_lines(text: str) -> Iterator[tuple[Place, int]]:
    """Lines of plain `key = value` and `[table]` entries; tomllib keeps none. Arrays of tables count from 0."""
    table: Place = ()
    counts: dict[Place, int] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if header := re.match(r"\s*(\[\[?)\s*([\w.\-\"' ]+?)\s*\]", line):
            table = _toml_key(header[2])
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            yield table, number
        elif entry := re.match(r"\s*([\w.\-\"']+)\s*=", line):
            yield (*table, *_toml_key(entry[1])), number


def _toml_key(text: str) -> Place:
    return tuple(part.strip().strip("\"'") for part in text.split("."))
